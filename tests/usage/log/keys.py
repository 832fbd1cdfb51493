"""Calls under an Idempotency-Key as these tests make them, and events of such calls as the drain reads them."""

from __future__ import annotations

from django.http import HttpResponse

from ratelimit.keys import key_digest
from ratelimit.limits import KeptAnswer
from tests.cast import Customer
from tests.usage.histories import MARCH, admit, charge, put
from usage.drain import drain
from usage.log.events import Event
from usage.metering import kept_answers, voiding
from usage.metering.admission import Admission
from usage.models import IdempotencyRecord

ACCOUNT = 7
KEY = key_digest("k")
ANSWER = KeptAnswer(b"200 text/plain", b"served")


def keyed(at_ms: int = MARCH * 1000 + 5, key: str = KEY) -> Event:
    return charge(ACCOUNT, at_ms=at_ms)._replace(key=key, fingerprint="f" * 32)


def drained(*events: Event) -> None:
    put(*events, shard=ACCOUNT)
    drain.drain()


def buy(customer: Customer) -> Admission:
    return admit(customer, idempotency_key="k", fingerprint=b"f" * 32)  # type: ignore[arg-type]


def serve(*calls: Admission) -> None:
    for call in calls:
        kept_answers.keep(call, HttpResponse(ANSWER.body, content_type="text/plain"))


def fail(*calls: Admission) -> None:
    for call in calls:
        voiding.void_failed_call(call)


def held() -> set[str]:
    return {str(record.event_id) for record in IdempotencyRecord.objects.filter(released=False)}
