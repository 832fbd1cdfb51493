"""manage.py dispatch_outbox, once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from billing.management.commands import dispatch_outbox
from billing.models import OutboxMessage
from tests.billing.outbox.taking import ALICE, BOB, happened

pytestmark = pytest.mark.django_db(transaction=True)


def run() -> str:
    said = io.StringIO()
    call_command("dispatch_outbox", stdout=said)
    return said.getvalue().strip()


def fail(message: OutboxMessage) -> None:
    if message.account_id == ALICE:
        raise ValueError("no such address")


def test_it_delivers_what_is_due_and_ends(settings: Any) -> None:
    settings.OUTBOX_CONSUMERS = {"log": "billing.outbox.consumers.write_to_log"}
    happened(ALICE, 1, 2)
    happened(BOB, 3)
    assert run() == "3 deliveries made"
    happened(BOB, 4)
    assert run() == "1 delivery made"
    assert run() == "0 deliveries made"


def test_what_fails_is_said_and_ends_it_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_outbox.consumers, "configured", lambda: {"log": fail})
    happened(ALICE, 1)
    happened(BOB, 2)
    with pytest.raises(CommandError, match="1 account waits for a message that fails"):
        run()


def test_a_consumer_that_is_not_there_is_found_at_start(settings: Any) -> None:
    assert run_checks(tags=["enforcement"]) == []
    settings.OUTBOX_CONSUMERS = {"mail": "billing.nowhere.send"}
    (error,) = run_checks(tags=["enforcement"])
    assert (error.id, "mail" in error.msg) == ("billing_site.E014", True)
