"""Many subscribers are moved: tried and shown first, then each exactly once, by the rules of a single change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from billing.models import BillingPeriod, BulkMove, Invoice, OutboxMessage, Plan, Subscription
from billing.subscriptions import canceling, changes, refusals
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.bulk.moves import Order, Tally
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import releasing, renewal
from billing.subscriptions.staff import changes as staff_changes
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
NOW, LATER = BulkMove.When.NOW, BulkMove.When.AT_PERIOD_END


def ordered(source: Plan, target: Plan, when: str = NOW, keep: bool = False, chosen: Any = None) -> BulkMove:
    """Tried at MIDDLE."""
    move = moves.begin(Order(source, target, when, keep, "the plan is retired"), MIDDLE, chosen)
    assert work.work_off(move, lambda: MIDDLE)
    return move


def done(move: BulkMove, now: datetime = MIDDLE) -> Tally:
    move = moves.confirm(move, now)
    assert work.work_off(move, lambda: now)
    assert move.state == BulkMove.State.FINISHED
    return moves.tally(move)


def refused(tally: Tally) -> dict[str, int]:
    return tally.refused


class TestNow:
    def test_each_is_billed_what_a_single_change_bills(self, low: Plan, high: Plan) -> None:
        first, second, single = (make_subscription(low, START) for _ in range(3))
        move = ordered(low, high, chosen=[first.pk, second.pk])
        alone = staff_changes.preview_change(single.account_id, high, MIDDLE)
        shown = moves.tally(move)
        assert (shown.moving, shown.sums["credit"], shown.sums["charge"]) == (2, 32, 96)
        assert (shown.sums["price_before"], shown.sums["price_after"]) == (62, 186)
        assert done(move) == Tally(move, 0, {"moved": 2}, {}, 0, shown.sums)
        for subscription in (first, second):
            assert lines(invoices(subscription)[1]) == [
                (line.kind, line.amount) for line in alone.documents.invoices[0][1]
            ]
            assert fresh(subscription).plan == high
            assert_tiled(subscription)
            assert_explained(subscription)
        assert fresh(single).plan == low, "it was not chosen"

    def test_what_is_only_tried_leaves_nothing_behind(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        messages = OutboxMessage.objects.count()
        move = ordered(low, high)
        assert (move.state, fresh(subscription).plan, Invoice.objects.count()) == ("ready", low, 1)
        assert (OutboxMessage.objects.count(), fresh(subscription).changed_at) == (messages, START)

    def test_it_tells_what_a_single_change_tells(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        move = ordered(low, high)
        last = OutboxMessage.objects.latest("pk").pk
        done(move)
        told = OutboxMessage.objects.filter(pk__gt=last).order_by("pk").values_list("account", "kind")
        account = subscription.account_id
        assert list(told) == [(account, "invoice.issued"), (account, "subscription.plan_changed")]

    def test_who_was_changed_since_is_left_and_named(self, low: Plan, middle: Plan, high: Plan) -> None:
        moved, upgraded, other = (make_subscription(low, START) for _ in range(3))
        move = ordered(low, high)
        changes.upgrade(upgraded.account_id, middle, MIDDLE)
        changes.downgrade_with_effective_date(other.account_id, make_plan("free", 0), MIDDLE, frozenset())
        tally = done(move)
        assert (tally.counts, tally.refused) == ({"moved": 1, "refused": 2}, {"changed": 1, "another_follows": 1})
        assert [fresh(each).plan for each in (moved, upgraded, other)] == [high, middle, low]

    def test_who_was_renewed_since_is_left(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        move = moves.confirm(ordered(low, high), MIDDLE)
        assert work.work_off(move, lambda: END)
        assert moves.tally(move).refused == {"changed": 1}
        renewal.renew_due(END)
        assert_explained(subscription)

    def test_a_price_that_was_edited_since_moves_nobody(self, low: Plan, high: Plan) -> None:
        make_subscription(low, START)
        move = ordered(low, high)
        high.price = money(100)
        high.save()
        assert done(move).refused == {"changed": 1}

    def test_who_cannot_be_moved_says_why(self, low: Plan, high: Plan, settings: Any) -> None:
        canceled, deactivated, parked, scheduled = (make_subscription(low, START) for _ in range(4))
        make_plan("free", 0, is_default=True)
        canceling.cancel(canceled.account_id, MIDDLE)
        User.objects.filter(pk=deactivated.account_id).update(is_active=False)
        fresh(parked).park("odd", MIDDLE)
        changes.downgrade_with_effective_date(scheduled.account_id, Plan.objects.default(), MIDDLE, frozenset())
        move = ordered(low, high)
        assert moves.tally(move).refused == {"ending": 2, "under_review.parked": 1, "another_follows": 1}
        with pytest.raises(moves.NobodyToMove):
            moves.confirm(move, MIDDLE)
        assert fresh(canceled).cancel_at == END, "whoever has canceled stays so"
        releasing.release(fresh(parked), MIDDLE)

    def test_an_invoice_that_looks_wrong_is_left_to_a_person(self, low: Plan, high: Plan, settings: Any) -> None:
        make_subscription(low, START)
        settings.LARGEST_INVOICE = 30
        assert moves.tally(ordered(low, high)).refused == {"under_review.invoice": 1}

    def test_to_a_plan_of_another_currency_nobody_goes_now(self, low: Plan) -> None:
        make_subscription(low, START)
        assert moves.tally(ordered(low, make_plan("euro", 9, currency="EUR"))).refused == {"currency_mismatch": 1}

    def test_amounts_are_those_of_the_day(self, low: Plan, high: Plan) -> None:
        """The try was a day before: the same subscription, one day less."""
        subscription = make_subscription(low, START)
        tally = done(ordered(low, high), MIDDLE + timedelta(hours=20))
        assert (tally.sums["credit"], tally.sums["charge"]) == (15, 45)
        assert_explained(subscription)


class TestAtThePeriodsEnd:
    def test_everybody_follows_at_his_own_end(self, low: Plan, high: Plan) -> None:
        first, second = make_subscription(low, START), make_subscription(low, at("2025-10-10"))
        tally = done(ordered(low, high, LATER))
        assert (tally.counts, tally.sums["charge"]) == ({"scheduled": 2}, 0)
        assert fresh(second).scheduled_at == at("2025-11-10")
        renewal.renew_due(END)
        assert (fresh(first).plan, fresh(second).plan) == (high, low)
        assert [invoice.total for invoice in invoices(first)] == [31, 93]

    def test_to_another_currency_and_a_shorter_interval(self) -> None:
        yearly = make_plan("yearly", 310, 1, interval="year")
        subscription = make_subscription(yearly, START)
        assert done(ordered(yearly, make_plan("euro", 9, currency="EUR"), LATER)).counts == {"scheduled": 1}
        renewal.renew_due(at("2026-10-01"))
        assert (invoices(subscription)[-1].currency, fresh(subscription).period_ends_at) == ("EUR", at("2026-11-01"))
        assert_tiled(subscription)


class TestPricesThatAreKept:
    def test_who_pays_less_goes_on_paying_what_he_pays(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        tally = done(ordered(low, high, keep=True))
        assert (tally.kept, tally.sums["credit"], tally.sums["charge"], tally.sums["price_after"]) == (1, 16, 16, 31)
        assert current_subscription(subscription.account_id, MIDDLE).next_invoice_amount == 31
        Plan.objects.filter(pk=high.pk).update(price=200)
        renewal.renew_due(at("2026-01-15"))
        prices = BillingPeriod.objects.filter(subscription=subscription).order_by("number").values_list("price")
        assert [price for (price,) in prices] == [31, 31, 31, 31]
        assert_explained(subscription)

    def test_it_ends_with_the_plan(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        done(ordered(low, middle, keep=True))
        changes.upgrade(subscription.account_id, high, MIDDLE)
        assert fresh(subscription).kept_price is None
        renewal.renew_due(END)
        assert invoices(subscription)[-1].total == 93

    def test_at_the_periods_end(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        done(ordered(low, high, LATER, keep=True))
        assert current_subscription(subscription.account_id, MIDDLE).next_invoice_amount == 31
        foreseen = current_subscription(subscription.account_id, at("2025-12-05"))
        assert (foreseen.plan, foreseen.period.price) == (high, 31), "while the renewal is late, too"
        renewal.renew_due(at("2025-12-05"))
        assert [invoice.total for invoice in invoices(subscription)] == [31, 31, 31]
        assert (fresh(subscription).kept_price, fresh(subscription).scheduled_kept_price) == (31, None)

    def test_a_schedule_that_is_dropped_leaves_the_price_of_before(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        done(ordered(low, middle, keep=True))
        done(ordered(middle, high, LATER, keep=False))
        changes.cancel_scheduled_change(subscription.account_id, MIDDLE)
        renewal.renew_due(END)
        assert (fresh(subscription).plan, invoices(subscription)[-1].total) == (middle, 31)

    def test_whoever_pays_more_pays_the_new_price(self, low: Plan, high: Plan) -> None:
        make_subscription(high, START)
        tally = done(ordered(high, low, LATER, keep=True))
        assert (tally.kept, tally.sums["price_after"]) == (0, 31)

    def test_a_lower_list_price_is_for_everybody(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        done(ordered(low, high, keep=True))
        Plan.objects.filter(pk=high.pk).update(price=20)
        renewal.renew_due(END)
        assert invoices(subscription)[-1].total == 20

    def test_in_another_currency_there_is_nothing_to_keep(self, low: Plan) -> None:
        make_subscription(low, START)
        tally = moves.tally(ordered(low, make_plan("euro", 9, currency="EUR"), LATER, keep=True))
        assert tally.refused == {"price_not_comparable": 1}

    def test_what_follows_an_end_is_at_its_own_price(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        done(ordered(low, high, keep=True))
        make_plan("basic", 50, is_default=True)
        canceling.cancel(subscription.account_id, MIDDLE)
        assert current_subscription(subscription.account_id, MIDDLE).next_invoice_amount == 50
        renewal.renew_due(END)
        assert Invoice.objects.filter(account=subscription.account_id).first().total == 50  # type: ignore[union-attr]


class TestItsWay:
    def test_what_makes_no_sense_is_refused(self, low: Plan, high: Plan) -> None:
        with pytest.raises(moves.NobodyToMove):
            moves.begin(Order(low, high, NOW, False, "x"), MIDDLE)
        make_subscription(low, START)
        with pytest.raises(moves.SamePlan):
            moves.begin(Order(low, low, NOW, False, "x"), MIDDLE)
        high.archived_at = MIDDLE
        high.save()
        with pytest.raises(refusals.NotOnSale):
            moves.begin(Order(low, high, NOW, False, "x"), MIDDLE)
        assert not BulkMove.objects.exists()

    def test_an_archived_plan_can_be_left(self, low: Plan, high: Plan) -> None:
        make_subscription(low, START)
        low.archived_at = MIDDLE
        low.save()
        assert done(ordered(low, high)).counts == {"moved": 1}

    def test_it_holds_for_a_day(self, low: Plan, high: Plan) -> None:
        make_subscription(low, START)
        move = ordered(low, high)
        with pytest.raises(moves.TriedLongAgo):
            moves.confirm(move, MIDDLE + timedelta(days=1, seconds=1))
        moves.confirm(move, MIDDLE + timedelta(days=1))
        with pytest.raises(moves.NotOfThatState):
            moves.confirm(move, MIDDLE)

    def test_a_stop_acts_before_the_next_one(self, low: Plan, high: Plan) -> None:
        for _ in range(3):
            make_subscription(low, START)
        move = moves.confirm(ordered(low, high), MIDDLE)

        def after_the_first(taken: int) -> None:
            if taken:
                moves.stop(move, MIDDLE)

        assert work.work_off(move, lambda: MIDDLE, progress=after_the_first)
        assert (move.state, Subscription.objects.filter(plan=high).count()) == ("stopped", 1)
        with pytest.raises(moves.NotOfThatState):
            moves.stop(move, MIDDLE)

    def test_what_fails_for_one_does_not_stop_the_others(self, low: Plan, high: Plan) -> None:
        faulty, sound = make_subscription(low, START), make_subscription(low, START)
        BillingPeriod.objects.filter(subscription=faulty).update(price=money("31.005"))
        tally = moves.tally(ordered(low, high))
        assert (tally.moving, tally.refused) == (1, {"failed": 1})
        assert fresh(sound).plan == low

    def test_a_run_ends_in_time_and_the_next_goes_on(self, low: Plan, high: Plan) -> None:
        for _ in range(3):
            make_subscription(low, START)
        move = moves.begin(Order(low, high, NOW, False, "x"), MIDDLE)
        ticks = iter(MIDDLE + timedelta(seconds=n) for n in range(9))
        assert not work.work_off(move, lambda: next(ticks), MIDDLE + timedelta(seconds=2))
        assert moves.tally(move).waiting == 2
        assert list(moves.unfinished()) == [move]
        assert work.work_off(move, lambda: MIDDLE)
        assert list(moves.unfinished()) == []

    def test_prices_paid_stay_paid(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        pay_in_full(invoices(subscription)[0], START)
        done(ordered(high, low))
        assert_explained(subscription)
        assert current_subscription(subscription.account_id, MIDDLE).balance == 32
