"""Plans, accounts and changes of plan as the rules of entitlement see them: chosen, and drawn at random."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Entitlement, Facts, Override
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.periods import MONTH, Period
from billing.rules.plan_change import PlanTerms
from billing.rules.tokens.top_ups import TopUp
from billing.rules.usage_window import BILLING_PERIOD, CALENDAR_MONTH, kept_window, quota_window

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
ANCHOR = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
PERIOD = Period(datetime(2026, 11, 10, 12, tzinfo=UTC), datetime(2026, 12, 10, 12, tzinfo=UTC))
REST = Period(NOVEMBER.end, PERIOD.end)
PAID = Period(PERIOD.start, NOVEMBER.end)
"""What is left of the billing period when November ends: no window overlaps another."""


def offer(code: str, quota: int | None = 500, rate: int | None = 30, price: int = 29, **more: Any) -> PlanOffer:
    terms = PlanTerms(code, more.pop("rank", 1), Decimal(price), more.pop("currency", "USD"), more.pop("every", MONTH))
    return PlanOffer(terms, code.title(), quota, rate, frozenset(more.pop("capabilities", ())), **more)


STARTER = offer("starter", capabilities=["investigator"])
PRO = offer("pro", quota=None, rate=100, price=49)
PLANS = {"starter": STARTER, "pro": PRO}
FACTS = Facts(account=7, version=1, active=True, plan="starter", anchor=ANCHOR)


def change(
    facts: Facts,
    plan: PlanOffer,
    target: PlanOffer,
    at: datetime,
    *,
    with_period: bool = False,
    anchor: datetime | None = None,
) -> Facts:
    since, until = kept_window(facts, plan, target, at, with_period=with_period, anchor=anchor)
    kept = replace(facts, former_quota_window_from=since, former_quota_window_until=until)
    return kept if anchor is None else replace(kept, anchor=anchor)


KINDS = st.sampled_from([CALENDAR_MONTH, BILLING_PERIOD])
BASE = datetime(2026, 10, 1, tzinfo=UTC)
# Few distinct instants, so that edges fall on one another, on windows' ends and a microsecond beside them.
INSTANTS = st.builds(
    lambda half_days, beside: BASE + half_days * DAY / 2 + beside * MICROSECOND,
    st.integers(0, 200),
    st.sampled_from([0, 0, -1, 1]),
)
MAYBE = st.none() | INSTANTS
Situation = tuple[Facts, dict[str, PlanOffer]]


@st.composite
def offers(draw: st.DrawFn, code: str) -> PlanOffer:
    return offer(code, quota=draw(st.none() | st.integers(0, 9)), quota_window=draw(KINDS))


@st.composite
def situations(draw: st.DrawFn, scheduled: st.SearchStrategy[datetime | None] = MAYBE) -> Situation:
    """An account as it can come about: what changed its window before lies before what is scheduled."""
    anchor = draw(st.sampled_from([ANCHOR, datetime(2026, 8, 31, tzinfo=UTC), BASE]))
    facts = replace(FACTS, anchor=anchor)
    former = draw(st.none() | KINDS)
    if former:
        window = quota_window(former, anchor, BASE - MICROSECOND)
        facts = replace(facts, former_quota_window_from=window.start, former_quota_window_until=window.end)
    if scheduled_at := draw(scheduled):
        facts = replace(facts, scheduled_plan="pro", scheduled_at=max(scheduled_at, BASE + MICROSECOND))
    overrides = st.builds(Override, st.sampled_from(["quota", "minute"]), st.none() | st.integers(0, 9), MAYBE)
    top_ups = st.builds(TopUp, st.integers(1, 9), INSTANTS, MAYBE)
    facts = replace(
        facts,
        paused_at=draw(MAYBE),
        overrides=tuple(draw(st.lists(overrides, max_size=2))),
        top_ups=tuple(draw(st.lists(top_ups, max_size=2))),
    )
    return facts, {"starter": draw(offers("starter")), "pro": draw(offers("pro"))}


def apart_from_validity(entitlement: Entitlement) -> Entitlement:
    return replace(entitlement, valid_until=BASE)
