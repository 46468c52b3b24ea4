"""Builds the running receiver from its parts."""
