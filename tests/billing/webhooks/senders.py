"""A sender of this process, and things that happen for it to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

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


def closing(work: Callable[[], object]) -> Callable[[], None]:
    """`work` for a thread of its own, which leaves no session of PostgreSQL behind."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return run


def happen(account: int, times: int) -> None:
    for number in range(times):
        make_key(account, f"key {number}")
    dispatch()


def all_are(state: str) -> bool:
    return not WebhookDelivery.objects.exclude(state=state).exists()
