"""The deployed thing, on kind or on the local control plane."""
