"""Nothing accepted is lost: faults on a real control plane, with real processes, each run counted."""
