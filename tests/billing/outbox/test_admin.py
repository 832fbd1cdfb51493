"""Staff look at what happened and at who waits; those who may try a failing message again, or skip it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from billing.models import OutboxCursor
from tests.billing.outbox.taking import ALICE, NOON, Clock, Taker, cursor_of, deliver, failing_on, happened
from tests.cast import Staff

pytestmark = pytest.mark.django_db
MESSAGES, DELIVERIES = "billing/outboxmessage/", "billing/outboxcursor/"
DELIVERED = re.compile(r'name="delivered" value="(\d+)"')


@pytest.fixture
def failing() -> OutboxCursor:
    """Alice's second message fails, and holds up her third. Nothing else has happened to her."""
    alice = User.objects.create_user("alice")
    happened(alice.pk, 1, 2, 3)
    deliver(Clock(), log=failing_on(2))
    return cursor_of(alice.pk)


def page(cursor: OutboxCursor, action: str = "change") -> str:
    return f"{DELIVERIES}{cursor.pk}/{action}/"


def press(staff: Staff, cursor: OutboxCursor, action: str, **fields: Any) -> str:
    answer = staff.client.post(f"/admin/{page(cursor, action)}", fields, follow=True)
    return str(answer.content.decode())


def skip(staff: Staff, cursor: OutboxCursor, delivered: int | None = None) -> str:
    found = DELIVERED.search(staff.open(page(cursor, "skip")).content.decode())
    assert found is not None
    return press(staff, cursor, "skip", delivered=found[1] if delivered is None else delivered)


def test_they_read_what_happened(superuser: Staff, failing: OutboxCursor) -> None:
    text = superuser.open(MESSAGES).content.decode()
    assert "alice" in text
    assert "subscription.renewed" in text


def test_what_outlived_its_account_is_still_read(superuser: Staff) -> None:
    happened(ALICE, 1)
    deliver(Clock(), log=failing_on(1))
    for list_page in (MESSAGES, DELIVERIES):
        assert superuser.open(list_page).status_code == 200
    assert superuser.open(page(cursor_of(ALICE))).status_code == 200


def test_they_see_who_fails_at_what(superuser: Staff, failing: OutboxCursor) -> None:
    text = superuser.open(page(failing)).content.decode()
    assert "ValueError: no such address" in text
    assert "Skip this message" in text
    for state, shown in (("failing", True), ("waiting", True), ("", True)):
        assert (
            f"/outboxcursor/{failing.pk}/" in superuser.open(f"{DELIVERIES}?state={state}").content.decode()
        ) is shown
    deliver(_later(), log=Taker())
    assert f"/outboxcursor/{failing.pk}/" not in superuser.open(f"{DELIVERIES}?state=failing").content.decode()
    assert "Skip this message" not in superuser.open(page(failing)).content.decode()


def test_a_call_that_never_ended_is_called_so(superuser: Staff, failing: OutboxCursor) -> None:
    OutboxCursor.objects.update(attempts=3, error="")
    assert "gave no answer" in superuser.open(page(failing)).content.decode()


def test_a_retry_makes_it_due(superuser: Staff, failing: OutboxCursor) -> None:
    OutboxCursor.objects.update(due_at=timezone.now() + timedelta(hours=1))
    assert "tried again" in press(superuser, failing, "retry")
    assert OutboxCursor.objects.due("log", timezone.now()).get() == failing
    assert LogEntry.objects.get().change_message == "Tried again."


def test_a_skip_lets_the_rest_go_on_and_is_remembered(superuser: Staff, failing: OutboxCursor) -> None:
    assert "is skipped" in skip(superuser, failing)
    taker = Taker()
    clock = Clock()
    clock.now = timezone.now()
    deliver(clock, log=taker)
    assert taker.of(failing.account_id) == [3]
    assert LogEntry.objects.get().change_message.startswith("Skipped message")


def test_a_skip_of_what_was_delivered_meanwhile_skips_nothing(superuser: Staff, failing: OutboxCursor) -> None:
    seen = failing.delivered
    deliver(_later(), log=failing_on(3))
    assert "nothing was changed" in skip(superuser, failing, delivered=seen)
    assert cursor_of(failing.account_id).waiting.count() == 1


def test_what_was_skipped_before_is_said_to_be(superuser: Staff, failing: OutboxCursor) -> None:
    seen = failing.delivered
    skip(superuser, failing)
    for action in ("retry", "skip"):
        assert "delivered or skipped since you looked" in press(superuser, failing, action, delivered=seen)
    cursor = cursor_of(failing.account_id)
    assert (cursor.waiting.count(), LogEntry.objects.count()) == (1, 1)


@pytest.mark.parametrize("action", ["retry", "skip"])
def test_those_who_may_only_look_change_nothing(clerk: Staff, failing: OutboxCursor, action: str) -> None:
    clerk.may("billing.view_outboxcursor")
    assert clerk.open(page(failing)).status_code == 200
    assert clerk.send(page(failing, action), delivered=failing.delivered).status_code == 403
    assert cursor_of(failing.account_id).delivered == failing.delivered


def test_nothing_is_edited_or_deleted(superuser: Staff, failing: OutboxCursor) -> None:
    message = failing.waiting[0]
    for path in (f"{MESSAGES}{message.pk}/", f"{DELIVERIES}{failing.pk}/"):
        assert superuser.send(f"{path}delete/", post="yes").status_code == 403
        assert superuser.send(f"{path}change/", kind="other").status_code == 403


def _later() -> Clock:
    clock = Clock()
    clock.now = NOON + timedelta(seconds=10)
    return clock
