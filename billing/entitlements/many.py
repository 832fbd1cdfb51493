"""What many accounts may do now, in five queries: for reports, which decide nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from billing.catalogue.in_memory import catalogue
from billing.entitlements.facts import pauses, terms_of
from billing.models import LimitOverride, Subscription, TokenTopUp
from billing.postgres.any_of import any_of
from billing.rules.entitlements.entitlement import Entitlement, Facts, Override, entitle
from billing.rules.tokens.top_ups import TopUp
from billing.subscriptions import lapsed_top_ups

NO_VERSIONS: Mapping[int, int] = {}


def entitlements(accounts: Collection[int], now: datetime) -> dict[int, Entitlement]:
    """By the rule of the gateway, from the facts of PostgreSQL; accounts without a live subscription are left out.

    Overage counts on the plan's present terms, and a top-up that has lapsed as not spent.
    """
    plans = catalogue().plans
    known = facts_of(accounts)
    return {account: entitle(lapsed_top_ups.postponed(facts, now), plans, now) for account, facts in known.items()}


def facts_of(accounts: Collection[int], versions: Mapping[int, int] = NO_VERSIONS) -> dict[int, Facts]:
    """As PostgreSQL has them, but for the terms on which overage was sold; of accounts with a live subscription.

    `versions` are the accounts' fences, read before; of one that has none, 1. Without any the facts are of version 1.
    """
    overrides, top_ups = defaultdict[int, list[Override]](list), defaultdict[int, list[TopUp]](list)
    for each in LimitOverride.objects.filter(any_of("account", accounts)).order_by("-created_at", "-pk"):
        overrides[each.account_id].append(Override(each.limit, each.maximum, each.expires_at))
    for row in TokenTopUp.objects.filter(any_of("account", accounts)):
        top_ups[row.account_id].append(row.terms)
    paused, found = pauses(accounts), {}
    live = Subscription.objects.live().filter(any_of("account", accounts))
    for subscription in live.select_related("plan", "scheduled_plan", "account"):
        account = subscription.account_id
        own, added = tuple(overrides[account]), tuple(top_ups[account])
        terms = terms_of(subscription) | {"paused_at": paused.get(account)}
        found[account] = Facts(account=account, version=versions.get(account, 1), overrides=own, top_ups=added, **terms)
    return found
