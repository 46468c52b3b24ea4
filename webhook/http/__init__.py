"""HTTP: connections, requests and TLS."""
