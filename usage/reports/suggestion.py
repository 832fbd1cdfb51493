"""What an account had better do before its window ends, with what that costs today: looked for once a minute."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import InterfaceError, OperationalError

from billing.bounded_cache import BoundedCache
from billing.entitlements.snapshots import Snapshot
from billing.invoicing.review import largest_invoice
from billing.models import Plan, TokenPack
from billing.rules.entitlements import suggestion as rule
from billing.rules.entitlements.forecast import Forecast
from billing.rules.entitlements.suggestion import Kind, PackOffer, Suggestion, Way
from billing.rules.money import in_currency
from billing.rules.plan_change import Available
from billing.rules.refused import Refused
from billing.subscriptions.offers import Offers
from billing.subscriptions.previews import calculate_proration
from ratelimit import process_state
from ratelimit.limiter import Versions
from usage.reports.forecast import forecast_from

logger = logging.getLogger(__name__)
HOLDS_FOR = timedelta(minutes=1)


class _Kept(NamedTuple):
    found: Suggestion | None
    versions: Versions
    until: datetime


_kept: BoundedCache[int, _Kept] = process_state.remember(
    __name__, "_kept", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)
)


def suggestion(snapshot: Snapshot, used: int, now: datetime) -> Suggestion | None:
    """What would cover the account's present window; None where its plan suffices, or nothing can be had that does.

    `used` is what is used of the window. The process keeps an answer for a minute, or until the account or the
    catalogue changes. Whoever asks is answered without PostgreSQL, too: there is no suggestion then.
    """
    if snapshot.entitlement.quota is None or used <= 0:
        return None
    account, versions = snapshot.facts.account, snapshot.versions
    kept = _kept.get(account)
    if kept is not None and kept.versions == versions and now < kept.until:
        return kept.found
    try:
        found = _find(snapshot, used, now)
    except (OperationalError, InterfaceError, Refused) as error:  # refused: it was changed at this moment
        logger.info("there is no suggestion for account %s: %s", account, error)
        found = None
    return _kept.remember(account, _Kept(found, versions, now + HOLDS_FOR)).found


def _find(snapshot: Snapshot, used: int, now: datetime) -> Suggestion | None:
    forecast = forecast_from(snapshot, used, now)
    if forecast is None or forecast.included is None:
        return None
    entitlement = snapshot.entitlement
    tokens = rule.missing(entitlement, forecast)
    if not tokens:
        return None
    offers = Offers(snapshot.facts.account, now)
    if offers.is_parked:
        return None
    way = rule.best(
        (
            _other_plan(snapshot, forecast, offers, now),
            rule.with_packs(entitlement.plan, _packs(now), tokens, forecast.ends_at),
            rule.with_overage(entitlement.plan, entitlement.overage, tokens),
        )
    )
    return None if way is None else Suggestion(way, forecast.tokens, forecast.included, forecast.ends_at)


def _other_plan(snapshot: Snapshot, forecast: Forecast, offers: Offers, now: datetime) -> Way | None:
    plans = snapshot.catalogue.plans
    rows = {plan.code: plan for plan in Plan.objects.on_sale()}
    available = [c for c, plan in rows.items() if c in plans and offers.available(plan) is Available.NOW]
    target = rule.covering(snapshot.facts, plans, snapshot.entitlement.plan, forecast, available)
    if target is None:
        return None
    proration = calculate_proration(snapshot.facts.account, rows[target.code], now).proration
    return Way(Kind.PLAN, target, proration.net, proration.currency)


def _packs(now: datetime) -> list[PackOffer]:
    """Those on sale that no member of staff has to look at first."""
    return [
        PackOffer(
            pack.code,
            pack.name,
            pack.tokens,
            in_currency(pack.price, pack.currency),
            pack.currency,
            None if pack.valid_days is None else now + timedelta(days=pack.valid_days),
        )
        for pack in TokenPack.objects.filter(is_on_sale=True)
        if pack.price <= largest_invoice(pack.currency)
    ]
