"""One answer an Idempotency-Key: a billing write's first success is stored and returned again for a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing.models import StoredAnswer

HOLDS_FOR = timedelta(hours=24)
PURGE_BATCH = 10_000


class KeyReused(Exception):
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer: its status and its body as it was sent. `replayed`: it was given before."""

    status: int
    body: str
    replayed: bool = False


def find(account: int, key: str, fingerprint: str, now: datetime) -> Answer | None:
    """The answer that was given under the key in the last 24 hours. Raises KeyReused."""
    known = StoredAnswer.objects.filter(account=account, key=key, created_at__gt=now - HOLDS_FOR).first()
    if known is None:
        return None
    if known.fingerprint != fingerprint:
        raise KeyReused
    return Answer(known.status, known.body, replayed=True)


def answer_once(account: int, key: str, fingerprint: str, now: datetime, work: Callable[[], Answer]) -> Answer:
    """Do the work and store its answer in one transaction, unless that was done; a second caller waits for the first.

    What the work raises undoes it and stores nothing, so the key stays free. The key is locked before anything that
    the work locks: whoever waits for the key holds nothing that somebody else may wait for. Raises KeyReused.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            # By a digest: two keys that share it only wait for each other.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"answer {account} {key}"])
        found = find(account, key, fingerprint, now)
        if found is not None:
            return found
        answer = work()
        first = {"fingerprint": fingerprint, "status": answer.status, "body": answer.body, "created_at": now}
        StoredAnswer.objects.update_or_create(account_id=account, key=key, defaults=first)
    return answer


def purge(now: datetime) -> int:
    """Delete the answers that are no longer returned, some at a time; returns how many."""
    deleted = 0
    while True:
        old = StoredAnswer.objects.filter(created_at__lte=now - HOLDS_FOR).values("pk")[:PURGE_BATCH]
        batch, _ = StoredAnswer.objects.filter(pk__in=old).delete()
        deleted += batch
        if batch < PURGE_BATCH:
            return deleted
