"""From an event's subjects to annotations in the API server."""
