"""Tests of controller/runtime/queue."""
