"""Subscriptions that the close of a period treats in a way of their own, a tenth of them of each kind."""

from __future__ import annotations

from django.db import connection

from billing.models import Coupon

KINDS = {
    "canceled": "UPDATE billing_subscription SET cancel_at = period_ends_at",
    "with another plan scheduled": """
UPDATE billing_subscription SET scheduled_at = period_ends_at,
    scheduled_plan_id = (SELECT id FROM billing_plan WHERE price > 0 ORDER BY price LIMIT 1)""",
    "with a coupon": """
INSERT INTO billing_couponredemption (account_id, coupon_id, redeemed_at, periods_used, periods_left)
    SELECT account_id, (SELECT id FROM billing_coupon), anchor, 0, 1 FROM billing_subscription""",
}
"""What makes a customer of `growth_population` one of the kind."""
NOT_BILLED = ("canceled",)
"""Kinds whose close makes no invoice: what follows is the default plan, which costs nothing."""
TENTH = " WHERE id BETWEEN %s AND %s AND id / 10 %% 10 = %s"


def be_of_all_kinds(first: int, last: int) -> int:
    """A tenth each of the subscriptions from `first` to `last`; how many of them the close does not bill."""
    not_billed = 0
    Coupon.objects.get_or_create(code="BENCH", defaults={"name": "Half the price", "percent": 50, "periods": 1})
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for number, (kind, statement) in enumerate(KINDS.items()):
            cursor.execute(statement + TENTH, [first, last, number])
            not_billed += cursor.rowcount if kind in NOT_BILLED else 0
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("ANALYZE billing_subscription")
    return not_billed
