"""Kargo's objects, as far as they are read."""
