"""Tests of controller/refreshing."""
