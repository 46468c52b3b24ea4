"""Tests of webhook/payloads."""
