"""Tests of webhook/admin."""
