"""What held for accounts in the past, read for a batch of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from billing.models import LimitOverride, Plan, TokenTopUp
from billing.rules.entitlements.entitlement import Facts
from billing.rules.entitlements.included import HeldOverride, HeldQuota, Past
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.periods import Period
from billing.rules.tokens.top_ups import TopUp
from billing.rules.usage_window import WindowHolder
from billing.subscriptions import lapsed_top_ups


class Pasts:
    """What held for some accounts: their overrides and top-ups in a query each, and each plan's quotas in one."""

    def __init__(self, accounts: Collection[int]) -> None:
        self._overrides = _overrides_held(accounts)
        self._top_ups: dict[int, list[TopUp]] = defaultdict(list)
        for row in TokenTopUp.objects.filter(account__in=accounts):
            self._top_ups[row.account_id].append(row.terms)
        self._quotas: dict[int, list[HeldQuota]] = {}

    def included(self, account: int, holder: WindowHolder, plan: Plan, stretch: Period) -> int | None:
        """See `Past.included`. What was spent of top-ups that have lapsed is counted, if nobody has done so before."""
        past, last = self._of(account, holder, plan), stretch.end - timedelta.resolution
        plans = {plan.code: past.offer}
        if lapsed_top_ups.are_uncounted(past.facts, plans, last):
            past = replace(past, facts=lapsed_top_ups.counted(past.facts, plans, last))
        return past.included(stretch)

    def _of(self, account: int, holder: WindowHolder, plan: Plan) -> Past:
        facts = Facts(
            account=account,
            version=0,
            active=True,
            plan=plan.code,
            anchor=holder.anchor,
            former_quota_window_from=holder.former_quota_window_from,
            former_quota_window_until=holder.former_quota_window_until,
            top_ups=tuple(self._top_ups.get(account, ())),
        )
        quota, window = plan.monthly_token_quota, plan.quota_window
        offer = PlanOffer(plan.terms, plan.name, quota, None, frozenset(), window)
        return Past(facts, offer, self._quotas_of(plan), self._overrides.get(account, ()))

    def _quotas_of(self, plan: Plan) -> list[HeldQuota]:
        if plan.pk not in self._quotas:
            edits = plan.history.order_by("history_date", "history_id").values_list(
                "history_date", "monthly_token_quota"
            )
            self._quotas[plan.pk] = [HeldQuota(*edit) for edit in edits]
        return self._quotas[plan.pk]


def _overrides_held(accounts: Collection[int]) -> dict[int, list[HeldOverride]]:
    """By account, newest first. Those that were edited or deleted are in their history alone."""
    about = {"account__in": accounts, "limit": LimitOverride.Name.QUOTA}
    versions: dict[int, list[Any]] = defaultdict(list)
    for version in LimitOverride.history.filter(**about).order_by("history_date", "history_id"):
        versions[version.id].append(version)
    for row in LimitOverride.objects.filter(**about):
        versions[row.pk] = versions[row.pk] or [row]
    held: dict[int, list[HeldOverride]] = defaultdict(list)
    for of_one in sorted(versions.values(), key=lambda rows: (rows[0].created_at, rows[0].id), reverse=True):
        held[of_one[0].account_id] += _of_one(of_one)
    return held


def _of_one(versions: list[Any]) -> Iterable[HeldOverride]:
    """Each version of an override holds until the next one, or until it expires."""
    for number, version in enumerate(versions):
        if getattr(version, "history_type", "") == "-":
            continue
        since: datetime = version.history_date if number else version.created_at
        following = versions[number + 1].history_date if number + 1 < len(versions) else None
        ends = [end for end in (version.expires_at, following) if end is not None]
        yield HeldOverride(since, min(ends, default=None), version.maximum)
