"""Tests of webhook/http."""
