"""A sender of this process, and things that happen for it to send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from billing.models import WebhookDelivery
from billing.webhooks.sender import Sender
from tests.billing.webhooks.telling import dispatch, make_key


@contextmanager
def sending() -> Iterator[Sender]:
    sender = Sender()
    try:
        yield sender
    finally:
        assert sender.stop(60)


def happen(account: int, times: int) -> None:
    for number in range(times):
        make_key(account, f"key {number}")
    dispatch()


def all_are(state: str) -> bool:
    return not WebhookDelivery.objects.exclude(state=state).exists()
