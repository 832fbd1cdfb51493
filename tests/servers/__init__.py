"""Servers of others that tests talk to, started as processes."""
