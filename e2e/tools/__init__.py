"""What only some tests need: Prometheus, Helm, and the CRDs of others. Found, or made once into the cache."""
