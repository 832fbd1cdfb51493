"""What follows when a card is declined: tries on the days of the setting, past due, the pause, and the end of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.entitlements import snapshots
from billing.fence.push import fence_version
from billing.invoicing import credit_notes
from billing.models import PastDue
from billing.payments.cards.charging import dunning
from billing.payments.cards.charging.attempts import State
from billing.payments.receive import receive
from billing.rules.instants import to_ms
from tests.billing.payments.cards.buyer import DAY, MINUTES, Buyer

pytestmark = pytest.mark.django_db
MICROSECOND, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)


def plan_at(buyer: Buyer, now: Any) -> str:
    return snapshots.snapshot(buyer.account, to_ms(now)).entitlement.plan.code


class TestTries:
    def test_a_soft_decline_schedules_the_next_day(self, buyer: Buyer) -> None:
        buyer.declining("insufficient_funds")
        attempt = buyer.issued()
        assert (attempt.state, attempt.kind, attempt.next_try_at) == ("failed", "soft", buyer.now + DAY)
        assert buyer.past_due_since is None
        assert buyer.happened("charge.failed")[0]["next_try_at"] == (buyer.now + DAY).isoformat()

    def test_it_is_not_tried_a_moment_too_early(self, buyer: Buyer) -> None:
        buyer.declining("insufficient_funds")
        buyer.issued()
        buyer.beat(buyer.now + DAY - MICROSECOND)
        assert buyer.charged == 1
        buyer.beat(buyer.now + DAY)
        assert buyer.charged == 2

    def test_each_day_of_the_setting_is_one_try_and_then_it_is_past_due(self, buyer: Buyer) -> None:
        buyer.declining("insufficient_funds")
        buyer.issued()
        for hours in range(24 * 9):
            buyer.beat(buyer.now + timedelta(hours=hours))
        assert [(row.created_at - buyer.now) // DAY for row in buyer.attempts] == [0, 1, 3, 5, 7]
        assert buyer.charged == 5 and buyer.past_due_since == buyer.now + 7 * DAY

    def test_a_late_beat_makes_up_for_no_day(self, buyer: Buyer) -> None:
        buyer.declining("insufficient_funds")
        buyer.issued()
        buyer.beat(buyer.now + 4 * DAY)
        assert buyer.charged == 2 and buyer.attempts[-1].next_try_at == buyer.now + 5 * DAY

    def test_a_try_that_passes_pays(self, buyer: Buyer) -> None:
        card = buyer.declining("insufficient_funds")
        buyer.issued()
        buyer.server.decline(card=card.reference, code="")
        buyer.beat(buyer.now + DAY)
        assert buyer.states == ["failed", "succeeded"] and buyer.is_paid

    @pytest.mark.parametrize("code", ["lost_card", "stolen_card", "pickup_card", "incorrect_number"])
    def test_a_hard_decline_is_never_retried(self, buyer: Buyer, code: str) -> None:
        buyer.declining(code)
        attempt = buyer.issued()
        assert (attempt.kind, attempt.next_try_at) == ("hard", None)
        assert buyer.past_due_since == buyer.now
        buyer.beat(buyer.now + 30 * DAY)
        assert buyer.charged == 1

    def test_a_removed_card_is_not_retried(self, buyer: Buyer) -> None:
        card = buyer.declining("insufficient_funds")
        buyer.issued()
        card.state, card.is_default, card.detached_at = "detached", False, buyer.now
        card.save()
        buyer.beat(buyer.now + DAY)
        assert buyer.charged == 1 and buyer.past_due_since == buyer.now + DAY
        assert buyer.attempts[0].next_try_at is None

    @pytest.mark.parametrize("paid_by", ["money", "void"])
    def test_what_is_settled_meanwhile_is_not_tried(self, buyer: Buyer, paid_by: str) -> None:
        buyer.declining("insufficient_funds")
        buyer.issued()
        if paid_by == "void":
            credit_notes.void(buyer.invoice, buyer.now)
        else:
            receive(buyer.account, "USD", buyer.invoice.due, "bank", "1", buyer.now, buyer.now)
        buyer.beat(buyer.now + DAY)
        assert buyer.charged == 1 and buyer.past_due_since is None and buyer.attempts[0].next_try_at is None

    def test_an_amount_that_no_card_is_charged_leads_nowhere(self, buyer: Buyer) -> None:
        card = buyer.card()
        buyer.server.decline(card=card.reference, code="amount_too_small")
        buyer.issued()
        assert buyer.past_due_since is None and buyer.attempts[0].next_try_at is None


class TestPastDue:
    def past_due(self, buyer: Buyer) -> None:
        buyer.declining("lost_card")
        buyer.issued()

    @pytest.mark.parametrize(
        ("after", "plan"),
        [(7 * DAY - MILLISECOND, "pro"), (7 * DAY + MILLISECOND, "community"), (30 * DAY, "community")],
    )
    def test_after_the_grace_the_default_plan_is_served(self, buyer: Buyer, after: timedelta, plan: str) -> None:
        """Without any beat: it follows from the facts."""
        self.past_due(buyer)
        assert plan_at(buyer, buyer.now + after) == plan

    def test_a_warm_snapshot_knows_when_it_pauses(self, buyer: Buyer) -> None:
        self.past_due(buyer)
        pauses_at = PastDue.objects.get().since + 7 * DAY
        warm = snapshots.snapshot(buyer.account, to_ms(buyer.now))
        assert warm.at(to_ms(pauses_at) - 1).entitlement.plan.code == "pro"
        assert warm.at(to_ms(pauses_at) + 1).entitlement.plan.code == "community"

    def test_the_grace_is_a_setting(self, buyer: Buyer, settings: Any) -> None:
        settings.PAST_DUE_GRACE_DAYS = 0
        self.past_due(buyer)
        assert plan_at(buyer, buyer.now + MILLISECOND) == "community"

    def test_paid_by_another_card_the_plan_is_served_at_once(self, buyer: Buyer) -> None:
        self.past_due(buyer)
        later = buyer.now + 8 * DAY
        buyer.beat(later)
        assert plan_at(buyer, later) == "community"
        version = fence_version(buyer.account)
        receive(buyer.account, "USD", buyer.invoice.due, "bank", "1", later, later)
        assert fence_version(buyer.account) > version, "or a warm process would not know"
        snapshots.reload(buyer.account, fence_version(buyer.account), to_ms(later))
        assert plan_at(buyer, later) == "pro" and buyer.past_due_since is None
        assert buyer.happened("invoice.past_due_ended")[0]["was_paused"] == 1

    def test_a_credit_note_ends_it_as_well(self, buyer: Buyer) -> None:
        self.past_due(buyer)
        credit_notes.credit(buyer.invoice, buyer.invoice.due, "goodwill", buyer.now)
        assert buyer.past_due_since is None

    def test_the_pause_is_told_once_and_late(self, buyer: Buyer) -> None:
        self.past_due(buyer)
        buyer.beat(buyer.now + 7 * DAY - MICROSECOND)
        assert buyer.happened("invoice.plan_paused") == []
        for days in (9, 10):
            buyer.beat(buyer.now + days * DAY)
        assert len(buyer.happened("invoice.plan_paused")) == 1

    def test_the_subscription_says_since_when(self, buyer: Buyer) -> None:
        path = "/api/v1/billing/subscription"
        assert buyer.customer.api.get(path).json()["past_due_since"] is None
        self.past_due(buyer)
        said = buyer.customer.api.get(path).json()["past_due_since"]
        assert said == buyer.now.isoformat().replace("+00:00", "Z")


class TestAuthentication:
    def test_dunning_pauses_while_the_customer_is_asked(self, buyer: Buyer) -> None:
        buyer.declining("authentication_required")
        assert buyer.issued().state == State.NEEDS_ACTION
        for days in range(7):
            buyer.beat(buyer.now + days * DAY + MINUTES)
        assert buyer.states == ["needs_action"] and buyer.charged == 1 and buyer.past_due_since is None
        assert len(buyer.happened("charge.needs_action")) == 1

    def test_who_never_confirms_is_past_due_after_the_last_day(self, buyer: Buyer) -> None:
        buyer.declining("authentication_required")
        buyer.issued()
        buyer.beat(buyer.now + 7 * DAY)
        assert buyer.states == ["canceled"] and buyer.past_due_since == buyer.now + 7 * DAY


def test_two_beats_make_each_try_once(buyer: Buyer) -> None:
    buyer.declining("insufficient_funds")
    buyer.issued()
    (planned,) = buyer.attempts
    assert dunning._begin_again(planned.pk, buyer.gateway, buyer.now + DAY) is not None
    assert dunning._begin_again(planned.pk, buyer.gateway, buyer.now + DAY) is None
