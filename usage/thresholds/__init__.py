"""Telling customers how much of their quota is used: once a window and threshold, and not on the way of a request."""
