"""Tests of alerts and dashboard."""
