"""What ``doctor`` judges, without a cluster."""
