"""The commands, their settings and what they print."""
