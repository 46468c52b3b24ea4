"""Lists, watches and the caches they keep."""
