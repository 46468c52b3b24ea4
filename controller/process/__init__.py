"""The process: its parts' supervision, its event loop, its memory."""
