"""Which receivers there are, from configs and Secrets, and their URLs in status."""
