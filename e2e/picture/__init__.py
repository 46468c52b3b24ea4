"""Draws the Grafana dashboard as a picture, from a real Prometheus and receivers under load."""
