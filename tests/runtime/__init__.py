"""Tests of the reconcile-loop framework."""
