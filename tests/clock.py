"""A clock that tests move; host products have the same."""

from billing_site.testing.clock import MIDDLE_OF_MARCH, moved_by_hand

__all__ = ["MIDDLE_OF_MARCH", "moved_by_hand"]
