"""The engines of a test run; host products have the same."""

from billing_site.testing.engines import MARK, start

__all__ = ["MARK", "start"]
