"""Hostile input on the public port of a running receiver."""
