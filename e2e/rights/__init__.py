"""Which right is for what: the parts of test_rights.py."""
