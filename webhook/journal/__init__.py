"""Deliveries on disk."""
