"""What ``make run`` shows: the receiver at work, on a control plane of its own or on the user's cluster."""
