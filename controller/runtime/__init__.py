"""A small reconcile-loop framework; it knows nothing of Kargo or Azure."""
