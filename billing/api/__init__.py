"""The HTTP API of the catalogue and of billing."""
