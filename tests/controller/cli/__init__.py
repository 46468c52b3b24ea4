"""Tests of controller/cli."""
