"""The HTTP API of usage."""
