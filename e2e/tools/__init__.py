"""What only some tests need: Prometheus, and the CRDs of others. Found, or fetched once into the cache."""
