"""Tests of controller/cluster."""
