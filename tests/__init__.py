"""Unit tests mirror the modules."""
