"""Empties the database behind a test; host products have the same."""

from billing_site.testing.emptying import empty_database

__all__ = ["empty_database"]
