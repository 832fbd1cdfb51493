"""Receivers on this machine, as for the domain's tests."""

from tests.billing.webhooks.conftest import debug, other_receiver, receiver

__all__ = ["debug", "other_receiver", "receiver"]
