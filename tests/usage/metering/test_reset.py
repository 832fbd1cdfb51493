"""Staff give the quota of a window anew: on the next call, in every sum, with or without Redis."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import LimitOverride
from billing.outbox.models import OutboxMessage
from tests.cast import Customer, Staff
from tests.outages import no_redis
from usage.drain import drain
from usage.metering.reset import NothingUsed, reset_usage
from usage.models import DailyUsage, UsageLog, UsageReset
from usage.sync import outage

pytestmark = pytest.mark.django_db(transaction=True)
TRACE, SCORE, TRACK = "/api/v1/trace/start", "/api/v1/risk/score", "/api/v1/usage/track"
ADD = "usage/usagereset/add/"


def used(customer: Customer) -> tuple[int, dict[str, int]]:
    """Tokens of the window, and by feature."""
    breakdown = customer.api.get("/api/v1/usage/breakdown").json()
    assert customer.api.get("/api/v1/usage/current").json()["tokens_used"] == breakdown.pop("total")
    return sum(breakdown.values()), breakdown


def reset(customer: Customer) -> UsageReset:
    return reset_usage(customer.account, timezone.now(), reason="a bug of ours", by="sue")


def assert_no_drift(customer: Customer) -> None:
    call_command("reconcile_usage", account=customer.user.username, verbosity=0)


@pytest.fixture
def spent(bob: Customer) -> Customer:
    """12 of 20 tokens are used, and neither feature fits any more."""
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=12)
    assert [bob.api.get(path).status_code for path in (TRACE, SCORE, SCORE)] == [200, 200, 429]
    return bob


def test_it_acts_on_the_next_call_and_in_every_sum(spent: Customer) -> None:
    done = reset(spent)
    assert (done.tokens, done.reason, done.reset_by) == (12, "a bug of ours", "sue")
    assert used(spent) == (0, {})
    assert spent.api.get(TRACE).status_code == 200
    assert used(spent) == (10, {"trace_start": 10})
    drain.drain()
    assert sum(UsageLog.objects.values_list("tokens", flat=True)) == 10
    assert_no_drift(spent)
    message = OutboxMessage.objects.get(kind="usage.reset")
    assert message.payload == {"reset": done.pk, "tokens": 12}


def test_the_history_keeps_what_was_used(spent: Customer) -> None:
    reset(spent)
    assert sorted(DailyUsage.objects.values_list("feature", "tokens", "calls")) == [
        ("risk_score", 2, 1),
        ("trace_start", 10, 1),
    ]
    kinds = [entry["kind"] for entry in spent.api.get("/api/v1/usage/logs").json()["results"]]
    assert sorted(kinds) == ["charge", "charge", "reset", "reset"]
    assert_no_drift(spent)


def test_twice_is_nothing_more(spent: Customer) -> None:
    reset(spent)
    with pytest.raises(NothingUsed):
        reset(spent)
    assert UsageReset.objects.count() == 1


def test_without_redis(spent: Customer, settings: Any) -> None:
    drain.drain()
    with no_redis(settings):
        assert spent.api.get(TRACE).status_code == 429
        reset(spent)
        assert spent.api.get(TRACE).status_code == 200
    assert outage.breaker.attempt()
    assert used(spent)[0] == 10
    assert_no_drift(spent)


def test_a_charge_of_before_that_is_taken_back_afterwards_gives_nothing_twice(dave: Customer) -> None:
    """The reset gave it back already."""
    event = dave.post(TRACK, {"feature": "trace_start"}).json()["event"]
    reset(dave)
    assert dave.api.delete(f"/api/v1/usage/events/{event}").status_code == 409
    assert used(dave) == (0, {})
    assert_no_drift(dave)


class TestByStaff:
    def test_in_the_admin(self, superuser: Staff, spent: Customer) -> None:
        answer = superuser.client.post(f"/admin/{ADD}", {"account": spent.account, "reason": "sorry"}, follow=True)
        assert answer.status_code == 200
        done = UsageReset.objects.get()
        assert (done.tokens, done.reset_by, done.reason) == (12, "sue", "sorry")
        assert spent.api.get(TRACE).status_code == 200
        assert superuser.open(f"usage/usagereset/{done.pk}/change/").status_code == 200
        assert superuser.send(f"usage/usagereset/{done.pk}/change/", reason="another").status_code == 403
        assert superuser.send(f"usage/usagereset/{done.pk}/delete/", post="yes").status_code == 403

    def test_where_nothing_was_used_it_says_so(self, superuser: Staff, alice: Customer) -> None:
        answer = superuser.client.post(f"/admin/{ADD}", {"account": alice.account, "reason": "x"}, follow=True)
        assert "nothing to give back" in answer.content.decode()
        assert not UsageReset.objects.exists()

    @pytest.mark.parametrize("reason", ["", "x" * 201])
    def test_a_reason_is_needed(self, superuser: Staff, spent: Customer, reason: str) -> None:
        answer = superuser.send(ADD, account=spent.account, reason=reason)
        assert "reason" in answer.context["adminform"].errors
        assert not UsageReset.objects.exists()

    def test_it_takes_a_permission(self, clerk: Staff, spent: Customer) -> None:
        clerk.may("usage.view_usagereset")
        assert clerk.send(ADD, account=spent.account, reason="x").status_code == 403

    def test_as_a_command(self, spent: Customer, capsys: Any) -> None:
        call_command("reset_usage", "bob", reason="sorry")
        assert capsys.readouterr().out == "bob: 12 tokens given back\n"
        for username, reason, message in (
            ("bob", "x", "nothing"),
            ("nobody", "x", "no user"),
            ("bob", " ", "--reason"),
        ):
            with pytest.raises(CommandError, match=message):
                call_command("reset_usage", username, reason=reason)
