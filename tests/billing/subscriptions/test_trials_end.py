"""How a trial ends: what follows it, with and without a payment method, and who is told before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.db import transaction

from billing.models import Plan, Subscription
from billing.outbox.models import OutboxMessage
from billing.subscriptions import canceling, changes, opening, previews, trials
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full
from tests.billing.subscriptions.trials import enforced, live
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, NOW, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-10-30 09:30:00")
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
NOBODY_USES_ANYTHING: frozenset[str] = frozenset()


def everybody(at: dict[int, datetime]) -> set[int]:
    return set(at)


EVERYBODY = f"{__name__}.everybody"


@pytest.fixture
def asking() -> Plan:
    """It asks for a payment method at the trial's end."""
    return make_plan("asking", 62, 2, trial_days=14, trial_needs_payment_method=True)


class TestItsEnd:
    @pytest.mark.parametrize("late", ["on time", "late"])
    def test_the_paid_period_follows_at_the_price_of_then(self, on_trial: Subscription, pro: Plan, late: str) -> None:
        assert enforced(on_trial, END - MICROSECOND * 1000) == "pro"
        assert renewal.renew_due(END - MICROSECOND).renewed == 0
        now = END if late == "on time" else at("2026-01-15")
        foreseen = current_subscription(on_trial.account_id, now)
        assert (foreseen.plan, foreseen.trial_ends_at) == (pro, None)
        renewal.renew_due(now)
        row = fresh(on_trial)
        assert [lines(invoice) for invoice in invoices(row)] == [[("base", 62)]] * (1 if late == "on time" else 3)
        first = row.periods.get(number=2)
        assert (first.starts_at, first.ends_at, first.is_trial) == (END, at("2025-11-30 09:30:00"), False)
        assert row.trial_ends_at == END, "it is history"
        assert current_subscription(row.account_id, now).period.period == foreseen.period.period
        assert_tiled(row)
        assert_explained(row)

    def test_a_price_edited_meanwhile_is_the_one_billed(self, on_trial: Subscription, pro: Plan) -> None:
        pro.price = money(70)
        pro.save()
        Plan.objects.update(priced_at=NOW)
        assert current_subscription(on_trial.account_id, NOW).next_invoice_amount == 70
        renewal.renew_due(END)
        assert lines(invoices(on_trial)[-1]) == [("base", 70)]

    @pytest.mark.parametrize("scheduled", ["low", "yearly"])
    def test_what_was_scheduled_follows(self, on_trial: Subscription, low: Plan, scheduled: str) -> None:
        yearly = make_plan("yearly", 310, 1, interval="year")
        target = low if scheduled == "low" else yearly
        changes.downgrade_with_effective_date(on_trial.account_id, target, NOW, NOBODY_USES_ANYTHING)
        assert fresh(on_trial).scheduled_at == END
        renewal.renew_due(END)
        row = fresh(on_trial)
        ends = at("2025-11-30 09:30:00") if target == low else at("2026-10-30 09:30:00")
        assert (row.plan, row.period_ends_at, lines(invoices(row)[-1])) == (target, ends, [("base", target.price)])
        assert_tiled(row)

    def test_canceled_it_is_followed_by_the_default_plan(self, on_trial: Subscription, free: Plan) -> None:
        canceled = canceling.cancel(on_trial.account_id, NOW)
        assert (canceled.at, canceled.then) == (END, free)
        assert (enforced(on_trial, END - MICROSECOND * 1000), enforced(on_trial, END)) == ("pro", "free")
        assert renewal.renew_due(END).ended == 1
        follows = live(on_trial)
        assert (follows.plan, follows.anchor, follows.trial_ends_at) == (free, END, None)
        assert invoices(on_trial) == []

    def test_a_deactivated_user_is_never_invoiced(self, on_trial: Subscription) -> None:
        get_user_model().objects.update(is_active=False)
        done = renewal.renew_due(at("2026-01-15"))
        assert (done.ended, done.invoices, Subscription.objects.live().count()) == (1, 0, 0)

    def test_a_dry_run_foresees_it(self, on_trial: Subscription) -> None:
        done = renewal.dry_run(END)
        assert (done.renewed, done.amounts, fresh(on_trial).period_ends_at) == (1, {"USD": 62}, END)


class TestPaymentMethod:
    @pytest.fixture
    def asked(self, free: Plan, asking: Plan) -> Subscription:
        subscription = make_subscription(free, START)
        changes.upgrade(subscription.account_id, asking, NOW)
        return fresh(subscription)

    @pytest.mark.parametrize("now", [END, END + SECOND, at("2026-01-15")])
    def test_without_one_it_ends_and_the_default_plan_follows(
        self, asked: Subscription, free: Plan, now: datetime
    ) -> None:
        before = current_subscription(asked.account_id, END - SECOND)
        assert (before.plan.code, before.cancel_at, before.then, before.next_invoice_amount) == ("asking", END, free, 0)
        assert (enforced(asked, END - SECOND), enforced(asked, now)) == ("asking", "free")
        assert current_subscription(asked.account_id, now).plan == free
        assert previews.calculate_proration(asked.account_id, make_plan("x", 93, 9), NOW, at=now).period.plan == free
        assert renewal.renew_due(END - SECOND).ended == 0
        assert renewal.renew_due(now).ended == 1
        row, follows = fresh(asked), live(asked)
        assert (row.status, row.ended_at, follows.plan, follows.anchor) == ("canceled", END, free, END)
        assert enforced(asked, now) == "free"
        assert invoices(row) == []
        assert_tiled(row)
        assert_tiled(follows)

    def test_without_one_and_a_default_plan_nothing_follows(self, asked: Subscription) -> None:
        Plan.objects.update(is_default=False)
        assert enforced(asked, END) == ""
        assert renewal.renew_due(END).ended == 1
        assert not Subscription.objects.live().exists()

    def test_with_one_the_paid_period_follows(self, asked: Subscription, settings: Any) -> None:
        settings.BILLING_HAS_PAYMENT_METHOD = EVERYBODY
        before = current_subscription(asked.account_id, END - SECOND)
        assert (before.cancel_at, before.next_invoice_amount) == (None, 62)
        assert enforced(asked, END) == "asking"
        assert renewal.renew_due(END).renewed == 1
        assert lines(invoices(asked)[-1]) == [("base", 62)]

    def test_a_function_that_is_not_there_is_found_at_start(self, settings: Any) -> None:
        settings.BILLING_HAS_PAYMENT_METHOD = "billing.nowhere.has_one"
        assert [error.id for error in run_checks(tags=["enforcement"])] == ["billing_site.E017"]

    def test_a_whole_batch_is_asked_about_at_once(self, free: Plan, asking: Plan, settings: Any) -> None:
        settings.BILLING_HAS_PAYMENT_METHOD = f"{__name__}.asked_once"
        calls.clear()
        for _ in range(5):
            changes.upgrade(make_subscription(free, START).account_id, asking, NOW)
        calls.clear()
        done = renewal.renew_due(END)
        assert ([len(call) for call in calls], done.renewed, done.ended) == ([5], 3, 2)
        assert set(calls[0].values()) == {END}

    def test_what_was_scheduled_instead_follows_without_one(self, asked: Subscription, low: Plan) -> None:
        changes.downgrade_with_effective_date(asked.account_id, low, NOW, NOBODY_USES_ANYTHING)
        assert enforced(asked, END) == "low"
        renewal.renew_due(END)
        assert (fresh(asked).plan, fresh(asked).status) == (low, "active")

    def test_what_the_plan_asks_for_afterwards_is_of_later_trials(
        self, on_trial: Subscription, asked: Subscription
    ) -> None:
        Plan.objects.filter(code="pro").update(trial_needs_payment_method=True)
        Plan.objects.filter(code="asking").update(trial_needs_payment_method=False)
        assert (enforced(on_trial, END), enforced(asked, END)) == ("pro", "free")
        done = renewal.renew_due(END)
        assert (done.renewed, done.ended) == (1, 1)

    def test_the_default_plan_asks_for_none(self) -> None:
        make_plan("basic", 5, is_default=True, trial_days=14, trial_needs_payment_method=True)
        user = get_user_model().objects.create_user("new")
        subscription = opening.get_or_open_subscription(user.pk, NOW)
        renewal.renew_due(END)
        assert fresh(subscription).is_live

    def test_paid_up_an_invoice_of_then_is_as_any(self, on_trial: Subscription) -> None:
        renewal.renew_due(END)
        pay_in_full(invoices(on_trial)[-1], END)
        assert previews.calculate_proration(
            on_trial.account_id, make_plan("x", 124, 9), END, at=END
        ).proration.credit == money(62)


calls: list[dict[int, datetime]] = []


def asked_once(at: dict[int, datetime]) -> set[int]:
    """All but two."""
    calls.append(dict(at))
    return set(sorted(at)[2:])


class TestNotice:
    """The message that a trial ends in three days."""

    def told(self) -> list[dict[str, Any]]:
        return list(OutboxMessage.objects.filter(kind="subscription.trial_ending").values_list("payload", flat=True))

    def test_three_days_before_and_once(self, on_trial: Subscription) -> None:
        due = END - timedelta(days=3)
        assert trials.announce_ending(due - MICROSECOND) == 0
        assert [trials.announce_ending(now) for now in (due, due, END - SECOND)] == [1, 0, 0]
        assert self.told() == [{"subscription": on_trial.pk, "plan": "pro"}]

    @pytest.mark.parametrize(("days", "told"), [(1, 0), (3, 0), (4, 1)])
    def test_not_of_three_days_or_less(self, free: Plan, days: int, told: int) -> None:
        plan = make_plan("short", 62, 2, trial_days=days)
        changes.upgrade(make_subscription(free, START).account_id, plan, NOW)
        assert trials.announce_ending(NOW + timedelta(days=days) - SECOND) == told

    @pytest.mark.parametrize("why", ["late", "upgraded", "ended", "deactivated"])
    def test_not_where_it_has_ended_or_nobody_is_there_to_read_it(self, on_trial: Subscription, why: str) -> None:
        now = END - SECOND
        if why == "late":
            now = END
        elif why == "upgraded":
            changes.upgrade(on_trial.account_id, make_plan("best", 93, 9), NOW + SECOND)
        elif why == "ended":
            shown = staff_ending.preview_end(on_trial.account_id, NOW, credit=False)
            staff_ending.end_now(on_trial.account_id, NOW, NOW, shown.digest, credit=False)
        else:
            get_user_model().objects.update(is_active=False)
        assert (trials.announce_ending(now), self.told()) == (0, [])
        assert trials.announce_ending(now) == 0

    def test_what_a_killed_beat_has_begun_is_done_by_the_next(self, on_trial: Subscription) -> None:
        due = END - timedelta(days=3)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            trials.announce_ending(due)
            raise KeyboardInterrupt
        assert self.told() == []
        assert (trials.announce_ending(due), len(self.told())) == (1, 1)
