"""What the API server offers beside objects: access reviews and Events."""
