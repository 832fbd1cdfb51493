"""Rows that say what one account and its keys may do."""
