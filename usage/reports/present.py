"""The usage windows of the present: whose quota ends soon, and who uses the most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from billing.entitlements.many import entitlements
from usage.models import WindowUsage

NEAR = Decimal("0.8")
NEAR_PERCENT = f"{NEAR * 100:.0f} %"
MOST_NEAR = 500
"""Accounts of which the exact quota is looked up; where more are near, the fullest are."""
# Who may be near it by the plan, and all with another quota than the plan's: the rule decides about them afterwards.
CANDIDATES = """
SELECT used.account_id, used.tokens, used.starts_at
FROM usage_windowusage AS used
JOIN billing_subscription AS held ON held.account_id = used.account_id AND held.status = 'active'
JOIN billing_plan AS plan ON plan.id = held.plan_id
LEFT JOIN (SELECT DISTINCT account_id FROM billing_limitoverride
    WHERE "limit" = 'quota' AND (expires_at IS NULL OR expires_at > %(now)s)) AS own ON own.account_id = used.account_id
WHERE used.ends_at > %(now)s AND used.starts_at <= %(now)s AND used.tokens > 0
    AND (used.tokens >= plan.monthly_token_quota * %(near)s OR own.account_id IS NOT NULL)
ORDER BY used.tokens::numeric / greatest(plan.monthly_token_quota, 1) DESC NULLS FIRST
LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Used:
    account: int
    tokens: int
    quota: int | None = None
    """Included in the window; None: unlimited, or not looked up."""

    @property
    def percent(self) -> int:
        """Of the quota, rounded down."""
        return 100 * self.tokens // self.quota if self.quota else 100


def near_quota(now: datetime) -> list[Used]:
    """Who has used `NEAR` or more of what the window includes, the fullest first.

    From PostgreSQL's counters, which lag the calls by as much as the drain does.
    """
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, {"now": now, "near": NEAR, "most": MOST_NEAR})
        rows = {account: (tokens, starts_at) for account, tokens, starts_at in cursor.fetchall()}
    allowed = entitlements(rows.keys(), now) if rows else {}
    near = []
    for account, entitlement in allowed.items():
        tokens, starts_at = rows[account]
        quota = entitlement.included
        if quota is not None and starts_at == entitlement.window.start and tokens >= quota * NEAR:
            near.append(Used(account, tokens, quota))
    return sorted(near, key=lambda used: (-used.percent, used.account))


def top_consumers(now: datetime, most: int) -> list[Used]:
    """Of the present windows, the most tokens first."""
    present = WindowUsage.objects.filter(ends_at__gt=now, starts_at__lte=now, tokens__gt=0).order_by("-tokens")
    return [Used(account, tokens) for account, tokens in present.values_list("account_id", "tokens")[:most]]
