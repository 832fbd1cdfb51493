"""manage.py settle_charges: an operator takes back what the process that had to has not."""

from __future__ import annotations

import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.fence import push
from ratelimit.limits import KeptAnswer, Outcome
from tests.cast import Customer
from tests.usage.histories import admit, sums
from usage.drain import drain
from usage.log.idempotency import key_records
from usage.metering.reset import reset_usage
from usage.metering.voiding import Settled

pytestmark = pytest.mark.django_db(transaction=True)


def settle(*charges: object) -> list[str]:
    output = StringIO()
    call_command("settle_charges", *map(str, charges), stdout=output)
    return output.getvalue().splitlines()


@pytest.mark.parametrize("key", ["", "k"])
def test_a_charge_that_was_not_drained_is_taken_back_once(bob: Customer, key: str) -> None:
    admit(bob)
    failed = admit(bob, idempotency_key=key, fingerprint=b"f").event  # type: ignore[arg-type]
    assert failed
    assert settle(failed.charge) == [f"{failed.charge}: {Settled.VOIDED.value}"]
    assert settle(failed.charge) == [f"{failed.charge}: {Settled.ALREADY.value}"]
    drain.drain()
    assert sums(bob.account) == {10}
    push.sweep()
    again = admit(bob, idempotency_key=key, fingerprint=b"f")  # type: ignore[arg-type]
    assert again.charged and not again.replayed
    assert again.quota.used == 20


def test_a_request_that_was_served_when_it_was_repeated_stays_charged(bob: Customer) -> None:
    charged = admit(bob, idempotency_key="k", fingerprint=b"f").event  # type: ignore[arg-type]
    assert charged
    drain.drain()
    record = key_records.IdempotencyRecord.objects.get(event_id=charged.charge)
    key_records.rerun(record, timezone.now())
    key_records.end_request(charged._replace(key=record.key), KeptAnswer(b"200", b"{}"))
    assert settle(charged.charge) == [f"{charged.charge}: {Settled.SERVED.value}"]
    assert sums(bob.account) == {10}


def test_so_does_one_whose_repetition_only_redis_knows_of(bob: Customer, settings: Any) -> None:
    settings.LONGEST_REQUEST_SECONDS = 0
    charged = admit(bob, idempotency_key="k", fingerprint=b"f").event  # type: ignore[arg-type]
    assert charged
    assert admit(bob, idempotency_key="k", fingerprint=b"f").decision.outcome is Outcome.RERUN  # type: ignore[arg-type]
    assert settle(charged.charge) == [f"{charged.charge}: {Settled.SERVED.value}"]
    assert sums(bob.account) == {10}


def test_what_a_usage_reset_gave_back_is_not_given_twice(bob: Customer) -> None:
    charged = admit(bob).event
    assert charged
    reset_usage(bob.account, timezone.now(), reason="asked", by="staff")
    assert settle(charged.charge) == [f"{charged.charge}: {Settled.RESET.value}"]
    push.sweep()
    assert admit(bob).quota.used == 10, "of this call alone"


def test_what_was_never_charged_is_said(bob: Customer) -> None:
    unknown = uuid.UUID("01999999-9999-7999-8999-999999999999")
    assert settle(unknown) == [f"{unknown}: {Settled.NOT_CHARGED.value}"]


def test_an_id_that_is_none_is_refused(bob: Customer) -> None:
    with pytest.raises(CommandError, match="invalid UUID value"):
        settle("12")
