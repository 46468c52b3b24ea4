"""Tests of controller/repositories."""
