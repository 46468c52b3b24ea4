"""What ``doctor`` looks at. Each module reads one part of an installation and returns findings."""
