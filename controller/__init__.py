"""Everything that talks to Kubernetes: informers, indexes, the refresher, the command line."""
