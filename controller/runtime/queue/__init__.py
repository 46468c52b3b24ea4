"""The workqueue and the workers that empty it."""
