"""Subscriptions that the close of a period treats in a way of their own, a tenth of them of each kind."""

from __future__ import annotations

from django.db import connection

from billing.models import Coupon, Plan

SOME = "id BETWEEN %s AND %s AND id / 10 %% 10 = %s"
OF_SOME = f"subscription_id IN (SELECT id FROM billing_subscription WHERE {SOME})"
KINDS = {
    "canceled": [f"UPDATE billing_subscription SET cancel_at = period_ends_at WHERE {SOME}"],
    "with another plan scheduled": [
        f"""
UPDATE billing_subscription SET scheduled_at = period_ends_at,
    scheduled_plan_id = (SELECT id FROM billing_plan WHERE price > 0 ORDER BY price LIMIT 1) WHERE {SOME}"""
    ],
    "with a coupon": [
        f"""
INSERT INTO billing_couponredemption (account_id, coupon_id, redeemed_at, periods_used, periods_left)
    SELECT account_id, (SELECT id FROM billing_coupon), anchor, 0, 1 FROM billing_subscription WHERE {SOME}"""
    ],
    "whose trial ends": [
        f"UPDATE billing_billingperiod SET is_trial = true, price = 0 WHERE {OF_SOME}",
        f"""
UPDATE billing_subscription SET trial_ends_at = period_ends_at, anchor = period_ends_at, anchor_number = 1
    WHERE {SOME}""",
    ],
    "with overage": [
        f"""
UPDATE billing_billingperiod SET overage_price = 0.5, plan_id = (SELECT id FROM billing_plan WHERE code = 'bench')
    WHERE {OF_SOME}""",
        f"""
INSERT INTO usage_windowusage (account_id, starts_at, ends_at, tokens, revision)
    SELECT account_id, anchor, period_ends_at, 5000, 1 FROM billing_subscription WHERE {SOME}""",
        f"""
UPDATE billing_subscription SET plan_id = (SELECT id FROM billing_plan WHERE code = 'bench') WHERE {SOME}""",
    ],
}
"""What makes a customer of `growth_population` one of the kind."""
INVOICES = {"canceled": 0, "with overage": 2}
"""Of a close, where it is not one: the default plan, which follows an end, costs nothing; overage has its own."""


def be_of_all_kinds(first: int, last: int) -> int:
    """A tenth each of the subscriptions from `first` to `last`; how many invoices more than one each that makes."""
    more = 0
    Coupon.objects.get_or_create(code="BENCH", defaults={"name": "Half the price", "percent": 50, "periods": 1})
    terms = {"overage_price": "0.5", "overage_cap_tokens": 10_000, "quota_window": "billing_period"}
    Plan.objects.get_or_create(code="bench", defaults={"price": 29, "monthly_token_quota": 1_000, **terms})
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for number, (kind, statements) in enumerate(KINDS.items()):
            for statement in statements:
                cursor.execute(statement, [first, last, number])
            more += cursor.rowcount * (INVOICES.get(kind, 1) - 1)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("ANALYZE billing_subscription, billing_billingperiod, usage_windowusage")
    return more
