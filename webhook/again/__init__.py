"""Deliveries of the history, dispatched anew on a person's request."""
