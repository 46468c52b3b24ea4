"""Tests of controller/kargo."""
