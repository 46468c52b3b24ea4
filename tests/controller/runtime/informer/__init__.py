"""Tests of controller/runtime/informer."""
