"""Tests of controller/runtime/api."""
