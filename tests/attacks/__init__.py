"""Attacks on the running receiver: what one tenant sends or creates must not hurt the others."""
