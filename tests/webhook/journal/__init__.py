"""Tests of webhook/journal."""
