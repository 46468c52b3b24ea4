"""Tests of controller/observability."""
