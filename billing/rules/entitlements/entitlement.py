"""What an account may do at an instant: a pure function of its subscription, its exceptions and the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.rules.entitlements.plan_offers import NO_PLAN, PlanOffer, default_offer, offer_of
from billing.rules.instants import EPOCH, to_ms
from billing.rules.periods import Period
from billing.rules.tokens.overage import OverageTerms
from billing.rules.tokens.top_ups import TopUp, tokens_on_top
from billing.rules.usage_window import kept_window, window_on
from ratelimit.limits import LARGEST_NUMBER, MINUTE_MS, Limit

MINUTE, QUOTA = "minute", "quota"
"""Names of the two limits, as headers and refusals have them."""
FORESEEN = timedelta(days=36_525)
"""Nobody waits for what ends later than this from now, and its window may lie beyond the calendar."""


@dataclass(frozen=True, slots=True)
class Metered:
    """A feature: what one successful call costs in tokens, and the capability it needs, "" for none."""

    code: str
    tokens: int
    capability: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """Replaces one limit until `expires_at`; `maximum` None means unlimited."""

    limit: str
    maximum: int | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What PostgreSQL says of one account at one version. `overrides` come newest first.

    `plan` is "" for an account without a subscription. At `ends_at` it ends, and the default plan follows.
    """

    account: int
    version: int
    active: bool
    plan: str
    anchor: datetime
    scheduled_plan: str = ""
    scheduled_at: datetime | None = None
    ends_at: datetime | None = None
    former_quota_window_from: datetime | None = None
    former_quota_window_until: datetime | None = None
    paused_at: datetime | None = None
    """From here on the plan is not served, since an invoice is past due; None: it is."""
    overage_cap: int | None = None
    """The customer's own; None: the plan's."""
    overage_price: Decimal | None = None
    """Of the billing period that ends at `overage_price_until`; from then on the plan's. Without an end: the plan's."""
    overage_price_until: datetime | None = None
    overrides: tuple[Override, ...] = ()
    top_ups: tuple[TopUp, ...] = ()


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What the account may do from the instant asked about until `valid_until`, unless a fact changes."""

    plan: PlanOffer
    quota: int | None
    """What is enforced: what is `included`, and what is sold on top."""
    requests_per_minute: int | None
    window: Period
    valid_until: datetime
    capabilities: frozenset[str] = field(default_factory=frozenset)
    overage: OverageTerms | None = None
    """How tokens above what is included are sold; None: not at all."""
    limits: tuple[Limit, ...] = field(init=False, repr=False, compare=False)
    """As what every call is judged by: requests in any 60 seconds, where they are limited, and last the tokens of the
    usage window, which are counted also where they are unlimited."""
    valid_until_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts_at_ms = to_ms(self.window.start)
        window_ms = to_ms(self.window.end) - starts_at_ms
        quota = Limit(QUOTA, self.quota, window_ms, starts_at_ms)
        minute = None if self.requests_per_minute is None else Limit(MINUTE, self.requests_per_minute, MINUTE_MS)
        object.__setattr__(self, "limits", (quota,) if minute is None else (minute, quota))
        object.__setattr__(self, "valid_until_ms", to_ms(self.valid_until))

    @property
    def included(self) -> int | None:
        """Tokens of the usage window that cost nothing extra; None: all of them."""
        return self.quota if self.quota is None or self.overage is None else self.quota - self.overage.cap_tokens

    def limit(self, name: str) -> Limit | None:
        """The limit of that name; None where the account has none of it."""
        return next((limit for limit in self.limits if limit.name == name), None)

    def includes(self, feature: Metered) -> bool:
        if not feature.capability:
            return self.plan is not NO_PLAN
        return feature.capability in self.capabilities

    def includes_all(self, feature: Metered | None, capabilities: tuple[str, ...]) -> bool:
        """The feature, if there is one, and each of the capabilities."""
        return (feature is None or self.includes(feature)) and self.capabilities.issuperset(capabilities)


class Stretch(NamedTuple):
    """What an account may do in `[begins_ms, ends_ms)`, in Unix milliseconds; `ends_ms` None: from then on."""

    begins_ms: int
    ends_ms: int | None
    entitlement: Entitlement


def changes_ahead(facts: Facts, now: datetime) -> bool:
    """Whether more than the usage window ends by time alone: an exception, or the plan."""
    return any(now < edge <= now + FORESEEN for edge in _edges(facts))


def stretches(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime) -> tuple[Stretch, ...]:
    """What the account may do from `now` on, as far as facts and time say; never empty, and without a gap.

    The last one goes on for ever: later windows begin unused and have the same limits. What will have been spent of a
    top-up when it lapses is not known: a stretch after that counts none of it, so its quota may be too low, never too
    high.
    """
    first = entitle(facts, plans, now)
    known_edges = (*_edges(facts), facts.overage_price_until or now)
    edges = sorted({first.window.end, *(edge for edge in known_edges if now < edge <= now + FORESEEN)})
    by_begin = {to_ms(now): first}
    for edge in edges:  # of two within a millisecond the later one holds
        by_begin[-((EPOCH - edge) // timedelta(milliseconds=1))] = entitle(facts, plans, edge)  # rounded up
    begins = list(by_begin)
    return tuple(Stretch(*stretch) for stretch in zip(begins, [*begins[1:], None], by_begin.values(), strict=True))


def facts_at(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime) -> Facts:
    """The facts in force at `now`: what follows by then has followed, whether or not the renewal has written it yet.

    The scheduled plan follows at its instant; where its interval is another one, periods are counted from there. Where
    the subscription ends, another one on the default plan follows, or nothing.
    """
    if facts.ends_at is not None and now >= facts.ends_at:
        follows = default_offer(plans)
        return replace(_followed_by(facts, plans, follows, facts.ends_at), anchor=facts.ends_at)
    if facts.scheduled_at is not None and now >= facts.scheduled_at:
        target = plans[facts.scheduled_plan]
        followed = _followed_by(facts, plans, target, facts.scheduled_at)
        same_interval = target.terms.interval == plans[facts.plan].terms.interval
        return followed if same_interval else replace(followed, anchor=facts.scheduled_at)
    return facts


def _followed_by(facts: Facts, plans: Mapping[str, PlanOffer], target: PlanOffer, at: datetime) -> Facts:
    since, until = kept_window(facts, offer_of(facts.plan, plans), target, at, with_period=True)
    return replace(
        facts,
        plan=target.code,
        scheduled_plan="",
        scheduled_at=None,
        ends_at=None,
        former_quota_window_from=since,
        former_quota_window_until=until,
    )


def window_at(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime) -> Period:
    """The account's usage window at `now`."""
    present = facts_at(facts, plans, now)
    return window_on(present, offer_of(present.plan, plans), now)


def entitle(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime, *, plan: str | None = None) -> Entitlement:
    """What the account may do at `now`; with `plan`, what it might do had it changed to that plan (for suggestions).

    While it is paused that is what the default plan gives, and no overage. The window stays the plan's own, with all
    that was used in it: paying gives the plan again, and no allowance a second time.
    """
    present = facts_at(facts, plans, now)
    is_paused = facts.paused_at is not None and facts.paused_at <= now
    offer = default_offer(plans) if is_paused else offer_of(plan or present.plan, plans)
    window = window_on(present, offer_of(present.plan, plans), now)
    overrides = [o for o in facts.overrides if o.expires_at is None or now < o.expires_at]
    quota = _overridden("quota", offer.monthly_token_quota, overrides)
    if quota is not None:
        quota = min(quota + tokens_on_top(facts.top_ups, window, now), LARGEST_NUMBER)
    overage = None if quota is None or is_paused else _overage(facts, offer, quota, now)
    return Entitlement(
        plan=offer,
        quota=quota if quota is None or overage is None else quota + overage.cap_tokens,
        overage=overage,
        requests_per_minute=_overridden("minute", offer.requests_per_minute, overrides),
        window=window,
        valid_until=min(_turning_points(present, window, now)),
        capabilities=offer.capabilities,
    )


def _overage(facts: Facts, offer: PlanOffer, included: int, now: datetime) -> OverageTerms | None:
    """How the plan sells tokens above what is included: an edit of its price acts from the next billing period on."""
    is_sold = offer.code == facts.plan and facts.overage_price_until is not None and now < facts.overage_price_until
    price = facts.overage_price if is_sold else offer.overage_price
    if price is None:
        return None
    cap = offer.overage_cap_tokens if facts.overage_cap is None else facts.overage_cap
    cap = min(cap, LARGEST_NUMBER - included)
    return OverageTerms(price, cap, offer.terms.currency, is_own_cap=facts.overage_cap is not None)


def _overridden(limit: str, default: int | None, overrides: Iterable[Override]) -> int | None:
    return next((override.maximum for override in overrides if override.limit == limit), default)


def _turning_points(facts: Facts, window: Period, now: datetime) -> Iterable[datetime]:
    """Instants after `now` at which time alone changes the answer; the window's end is always one of them."""
    yield window.end
    if facts.overage_price_until is not None and facts.overage_price_until > now:
        yield facts.overage_price_until
    yield from (edge for edge in _edges(facts) if edge > now)


def _edges(facts: Facts) -> Iterable[datetime]:
    """Instants at which the facts themselves say that something begins or ends."""
    edges = [
        facts.scheduled_at,
        facts.ends_at,
        facts.former_quota_window_until,
        facts.paused_at,
        *(override.expires_at for override in facts.overrides),
    ]
    for top_up in facts.top_ups:
        edges += [top_up.starts_at, top_up.expires_at, top_up.count_again_at]
    return (edge for edge in edges if edge is not None)
