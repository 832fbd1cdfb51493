"""Rows of money that came in and went out, by hand, by card and on chains, and of what it settled."""
