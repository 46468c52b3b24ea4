"""Tests of webhook/queues."""
