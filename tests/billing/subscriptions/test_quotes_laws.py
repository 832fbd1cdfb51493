"""A preview of an instant says what a change made at that instant bills, whatever happened before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Plan
from billing.subscriptions import previews
from tests.billing.invoicing.test_money_laws import (
    ANCHORS,
    CURRENCIES,
    GRANULARITIES,
    LAWS,
    MINOR_PRICES,
    STEPS,
    Customer,
    plans_of,
    rolled_back,
)
from tests.billing.ledger import fresh, hand_over, lines
from tests.factories import money

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]
LIMITS = {"LARGEST_INVOICE": 10**9, "MOST_INVOICES_A_DAY": 10**6}
AHEAD = st.one_of(
    st.integers(0, 100 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    st.sampled_from([-1, 0, 1]),  # microseconds beside the period's end
)


@given(
    currency=CURRENCIES,
    interval=st.sampled_from(["month", "quarter"]),
    granularity=GRANULARITIES,
    prices=st.lists(MINOR_PRICES, min_size=4, max_size=4),
    anchor=ANCHORS,
    steps=st.lists(STEPS, max_size=10),
    ahead=AHEAD,
    target=st.integers(0, 3),
)
@LAWS
def test_a_preview_is_what_the_change_bills(
    currency: str,
    interval: str,
    granularity: str,
    prices: list[int],
    anchor: datetime,
    steps: list[tuple[str, Any]],
    ahead: timedelta | int,
    target: int,
) -> None:
    with override_settings(PRORATION_GRANULARITY=granularity, **LIMITS), rolled_back(), freeze_time(anchor) as clock:
        customer = Customer(plans_of(prices, currency, interval), anchor, clock)
        for step, value in steps:
            customer.do(step, value)
        subscription, plan = fresh(customer.subscription), Plan.objects.get(pk=customer.plans[target].pk)
        end = subscription.period_ends_at
        at = customer.now + ahead if isinstance(ahead, timedelta) else end + timedelta(microseconds=ahead)
        at = max(at, customer.now)
        shown = previews.calculate_proration(subscription.account_id, plan, customer.now, at=at)
        clock.move_to(at)
        changed = hand_over(subscription, plan, at)
        assert shown.proration == changed.proration
        amounts = dict(lines(changed.invoice)) if changed.invoice else {}
        assert amounts.get("credit", 0) == -shown.proration.credit
        assert amounts.get("charge", money(0)) == shown.proration.charge
        assert amounts.get("discount", 0) == -shown.proration.discount
