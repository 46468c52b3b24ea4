"""Repository URLs and the keys under which they are compared."""
