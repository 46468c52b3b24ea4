"""Tests of webhook.again."""
