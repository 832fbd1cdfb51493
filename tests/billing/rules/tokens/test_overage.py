"""overage.py and included.py: what tokens above the quota cost, which of a window are billed, and what was included."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Facts, Override, TopUp, changes_ahead, entitle, stretches
from billing.rules.entitlements.included import HeldOverride, HeldQuota, Past
from billing.rules.periods import Period
from billing.rules.tokens.overage import OverageTerms, Stretch, above_quota, cost, shown_price
from billing.rules.usage_window import BILLING_PERIOD
from ratelimit.limits import LARGEST_NUMBER
from tests.billing.rules.situations import DAY, FACTS, NOW, PERIOD, offer
from usage.metering.quota import passes

METERED = offer("metered", quota=100, overage_price=Decimal("0.5"), overage_cap_tokens=50, quota_window=BILLING_PERIOD)
PLANS = {"metered": METERED, "other": offer("other", overage_price=Decimal(2), overage_cap_tokens=7)}
ON_METERED = replace(FACTS, plan="metered")
TOKENS = st.integers(0, 10**6)


class TestCost:
    @pytest.mark.parametrize(
        ("tokens", "price", "currency", "amount"),
        [
            (12_345, "0.5", "USD", "6.17"),
            (0, "0.5", "USD", "0.00"),
            (9, "0.5", "USD", "0.00"),
            (10, "0.5", "USD", "0.01"),
            (-10, "0.5", "USD", "-0.01"),
            (1, "0.0001", "USD", "0.00"),
            (1_000, "49.5", "JPY", "50"),
            (1_000, "0.0005", "KWD", "0.001"),
            (LARGEST_NUMBER, "1000000", "USD", "99999999999999.00"),
        ],
    )
    def test_rounded_once_half_up(self, tokens: int, price: str, currency: str, amount: str) -> None:
        assert str(cost(tokens, Decimal(price), currency)) == amount

    @pytest.mark.parametrize(
        ("price", "currency", "shown"),
        [("0.5000", "USD", "0.50"), ("0.0525", "USD", "0.0525"), ("20000", "IDR", "20000.00"), ("3.0000", "JPY", "3")],
    )
    def test_a_unit_price_has_the_decimals_it_needs(self, price: str, currency: str, shown: str) -> None:
        assert str(shown_price(Decimal(price), currency)) == shown


class TestTerms:
    @pytest.mark.parametrize(
        ("used", "tokens", "left"), [(0, 0, 50), (100, 0, 50), (101, 1, 49), (150, 50, 0), (160, 60, 0)]
    )
    def test_what_is_above(self, used: int, tokens: int, left: int) -> None:
        sold = OverageTerms(Decimal("0.5"), 50, "USD").sold(used, 100)
        assert (sold.tokens, sold.left, sold.amount) == (tokens, left, cost(tokens, Decimal("0.5"), "USD"))

    def test_one_number_is_enforced(self) -> None:
        entitlement = entitle(ON_METERED, PLANS, NOW)
        assert (entitlement.quota, entitlement.included) == (150, 100)
        assert entitlement.limits[-1].maximum == 150

    @pytest.mark.parametrize(("own", "quota"), [(None, 150), (0, 100), (7, 107), (LARGEST_NUMBER, LARGEST_NUMBER)])
    def test_the_customers_cap_goes_before_the_plans(self, own: int | None, quota: int) -> None:
        entitlement = entitle(replace(ON_METERED, overage_cap=own), PLANS, NOW)
        assert (entitlement.quota, entitlement.included) == (quota, 100)

    def test_overrides_and_top_ups_are_included(self) -> None:
        facts = replace(ON_METERED, overrides=(Override("quota", 30),), top_ups=(TopUp(5, NOW - DAY),))
        assert (entitle(facts, PLANS, NOW).included, entitle(facts, PLANS, NOW).quota) == (35, 85)
        unlimited = entitle(replace(ON_METERED, overrides=(Override("quota", None),)), PLANS, NOW)
        assert (unlimited.included, unlimited.quota, unlimited.overage) == (None, None, None)

    def test_the_period_sells_as_it_was_sold(self) -> None:
        """An edit of the plan reaches the next period: also one that begins, or ends, to sell."""
        facts = replace(ON_METERED, overage_price=Decimal(3), overage_price_until=NOW + DAY)
        now, then = entitle(facts, PLANS, NOW), entitle(facts, PLANS, NOW + DAY)
        assert now.overage and then.overage and (now.overage.price, then.overage.price) == (3, Decimal("0.5"))
        none_yet = entitle(replace(facts, overage_price=None), PLANS, NOW)
        assert (none_yet.overage, none_yet.quota) == (None, 100)
        of_another = entitle(replace(facts, overage_price=None), PLANS, NOW, plan="other")
        assert of_another.overage == OverageTerms(Decimal(2), 7, "USD")

    def test_where_a_kept_window_outlasts_the_period_its_end_is_foreseen(self) -> None:
        facts = replace(ON_METERED, overage_price=None, overage_price_until=NOW + DAY)
        assert entitle(facts, PLANS, NOW).valid_until == NOW + DAY
        assert [stretch.entitlement.quota for stretch in stretches(facts, PLANS, NOW)] == [100, 150, 150]
        assert not changes_ahead(facts, NOW), "as a rule the window ends there, too"

    def test_a_suggestion_counts_no_more_than_the_customer_agreed_to(self) -> None:
        default, own = (entitle(replace(ON_METERED, overage_cap=cap), PLANS, NOW) for cap in (None, 20))
        assert [passes(default, 5, used, 0) for used in (95, 96)] == [True, False]
        assert [passes(own, 5, used, 0) for used in (115, 116)] == [True, False]


class TestAboveQuota:
    @pytest.mark.parametrize(
        ("earlier", "used", "included", "billed"),
        [
            ([], 100, 100, 0),
            ([], 101, 100, 1),
            ([], 10**9, None, 0),
            ([Stretch(150, 100, 50)], 200, 100, 50),
            ([Stretch(150, 100, 50)], 1_050, 1_000, 0),
            ([Stretch(150, 100, 50)], 1_100, 1_000, 50),
            ([Stretch(500, 1_000, 0)], 1_100, 100, 100),
            ([Stretch(150, None, 0)], 500, 100, 0),
            ([Stretch(150, 100, 0)], 150, 50, 0),
        ],
    )
    def test_examples(self, earlier: list[Stretch], used: int, included: int | None, billed: int) -> None:
        assert above_quota(earlier, used, included) == billed

    @given(st.lists(st.tuples(TOKENS, st.none() | TOKENS, st.booleans()), min_size=1, max_size=5))
    def test_each_token_is_billed_once_and_none_that_the_largest_quota_gave(
        self, parts: list[tuple[int, int | None, bool]]
    ) -> None:
        used, stretches = 0, list[Stretch]()
        for more, included, is_sold in parts:
            used += more
            billed = above_quota(stretches, used, included) if is_sold else 0
            stretches.append(Stretch(used, included, billed))
        total = sum(stretch.billed for stretch in stretches)
        last_known = [stretch.included for stretch in stretches]
        assert 0 <= total <= used
        if None not in last_known:
            assert total <= max(used - min(quota for quota in last_known if quota is not None), 0)
        if all(is_sold for _, _, is_sold in parts) and len({stretch.included for stretch in stretches}) == 1:
            quota = stretches[0].included
            assert total == (0 if quota is None else max(used - quota, 0)), "as if the plan had never changed"


class TestIncluded:
    FACTS: Facts = ON_METERED

    def past(
        self, *overrides: HeldOverride, quotas: tuple[HeldQuota, ...] = (), top_ups: tuple[TopUp, ...] = ()
    ) -> Past:
        return Past(replace(self.FACTS, top_ups=top_ups), METERED, quotas, overrides)

    def test_the_plans_quota(self) -> None:
        assert self.past().included(PERIOD) == 100

    def test_the_largest_that_held_at_any_time(self) -> None:
        raised = (HeldQuota(PERIOD.start - DAY, 100), HeldQuota(NOW, 700), HeldQuota(NOW + DAY, 10))
        assert self.past(quotas=raised).included(PERIOD) == 700
        assert self.past(quotas=raised).included(Period(PERIOD.start, NOW)) == 100
        assert self.past(quotas=raised).included(Period(NOW + DAY, PERIOD.end)) == 10
        assert self.past(quotas=raised[1:]).included(PERIOD) == 700, "before the history begins, the oldest counts"

    @pytest.mark.parametrize(
        ("since", "until", "included"),
        [
            (PERIOD.start, None, 30),
            (PERIOD.start - DAY, PERIOD.end, 30),
            (PERIOD.start + DAY, None, 100),
            (PERIOD.start, NOW, 100),
            (PERIOD.end, None, 100),
        ],
    )
    def test_an_override_below_the_quota_counts_where_it_held_all_the_time(
        self, since: datetime, until: datetime | None, included: int
    ) -> None:
        assert self.past(HeldOverride(since, until, 30)).included(PERIOD) == included

    def test_an_override_that_was_for_a_moment(self) -> None:
        assert self.past(HeldOverride(NOW, NOW + timedelta(seconds=1), 400)).included(PERIOD) == 400
        assert self.past(HeldOverride(NOW, NOW + timedelta(seconds=1), None)).included(PERIOD) is None

    def test_of_two_the_newest_holds(self) -> None:
        newest, older = HeldOverride(PERIOD.start, None, 5), HeldOverride(PERIOD.start, None, 900)
        assert self.past(newest, older).included(PERIOD) == 5

    def test_top_ups_as_they_count_at_the_end(self) -> None:
        inside, before = TopUp(40, NOW), TopUp(1_000, PERIOD.start - DAY)
        assert self.past(top_ups=(inside, before)).included(PERIOD) == 140
