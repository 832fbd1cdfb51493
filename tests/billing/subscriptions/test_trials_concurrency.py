"""Trials and several processes: one trial an account, one message, one paid period."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model

from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.models import OutboxMessage
from billing.subscriptions import changes, opening, refusals, trials
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db(transaction=True)
START, NOW, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-10-30 09:30:00")


def test_twenty_upgrades_at_once_begin_one(free: Plan, pro: Plan) -> None:
    subscription = make_subscription(free, START)
    answers = at_once(*[lambda: changes.upgrade(subscription.account_id, pro, NOW)] * 20)
    assert sum(isinstance(answer, changes.Changed) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.NotAnUpgrade) for answer in answers) == 19
    assert BillingPeriod.objects.filter(is_trial=True).count() == 1
    assert_tiled(subscription)


def test_upgrades_to_two_plans_at_once_begin_one_trial_in_either_order(free: Plan, pro: Plan) -> None:
    """Who comes second ends the trial of the first for the full price, or is refused."""
    best = make_plan("best", 93, 9, trial_days=30)
    for _ in range(5):
        subscription = make_subscription(free, START)
        account = subscription.account_id
        at_once(
            lambda account=account: changes.upgrade(account, pro, NOW),  # type: ignore[misc]
            lambda account=account: changes.upgrade(account, best, NOW + timedelta(seconds=1)),  # type: ignore[misc]
        )
        row = fresh(subscription)
        tried = BillingPeriod.objects.filter(subscription=row, is_trial=True)
        assert (row.plan, tried.count()) == (best, 1)
        assert_tiled(row)
        assert_explained(row)


@pytest.mark.parametrize("first", ["use", "choice"])
def test_those_who_have_no_subscription_get_one_and_one_trial(pro: Plan, first: str) -> None:
    account = get_user_model().objects.create_user("new").pk
    if first == "use":
        Plan.objects.filter(pk=pro.pk).update(is_default=True)
        at_once(*[lambda: opening.get_or_open_subscription(account, NOW)] * 20)
    else:
        answers = at_once(*[lambda: changes.upgrade(account, pro, NOW)] * 20)
        assert sum(isinstance(answer, changes.Changed) for answer in answers) == 1, answers
        assert sum(isinstance(answer, refusals.NotAnUpgrade) for answer in answers) == 19, answers
    assert (Subscription.objects.count(), BillingPeriod.objects.get().is_trial) == (1, True)


def test_several_beats_tell_of_each_trial_once(free: Plan, pro: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "BATCH", 3)
    for _ in range(20):
        changes.upgrade(make_subscription(free, START).account_id, pro, NOW)
    told = at_once(*[lambda: trials.announce_ending(END - timedelta(days=3))] * 4)
    accounts = OutboxMessage.objects.filter(kind="subscription.trial_ending").values_list("account", flat=True)
    assert (sum(told), len(accounts), len(set(accounts))) == (20, 20, 20)


def test_an_upgrade_meets_the_trials_end(free: Plan, pro: Plan) -> None:
    """In either order the paid period is opened once, and the upgrade is prorated within it."""
    best = make_plan("best", 93, 9)
    subscription = make_subscription(free, START)
    changes.upgrade(subscription.account_id, pro, NOW)
    answers = at_once(
        lambda: changes.upgrade(subscription.account_id, best, END),
        lambda: renewal.renew_due(END),
        lambda: renewal.renew_due(END),
    )
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers
    assert [lines(invoice) for invoice in invoices(subscription)] == [
        [("base", 62)],
        [("credit", -62), ("charge", 93)],
    ]
    assert_tiled(subscription)
    assert_explained(subscription)
