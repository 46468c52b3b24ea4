"""Tests of controller/receivers."""
