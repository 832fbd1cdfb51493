"""Rows of who is on which plan, and what each period was sold for."""
