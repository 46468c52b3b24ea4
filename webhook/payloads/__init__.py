"""From a body to an event, for each kind of sender."""
