"""Customers by the million: rows by `generate_series`, Redis keys by a script, as the product itself writes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from django.db import connection

from billing.models import Plan
from billing.rules.periods import MONTH, Period, nth_period
from ratelimit.keys import AccountKeys
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS, Script
from ratelimit.servers.single import Command, Store

CUSTOMERS = """
INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
        date_joined)
    SELECT n, '!', false, 'customer' || n, '', '', '', false, true, %(anchor)s
    FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO billing_subscription (id, account_id, plan_id, status, anchor, period_ends_at,
        created_at, changed_at, parked_because, cancel_reason, anchor_number)
    SELECT n, n, (%(plans)s::bigint[])[1 + n %% %(kinds)s], 'active', %(anchor)s, %(ends)s,
        %(anchor)s, %(anchor)s, '', '', 0
    FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO billing_billingperiod (subscription_id, number, starts_at, ends_at, plan_id, price, currency)
    SELECT n, 0, %(anchor)s, %(ends)s, plan.id, plan.price, plan.currency
    FROM generate_series(%(first)s, %(last)s) AS n
    JOIN billing_plan plan ON plan.id = (%(plans)s::bigint[])[1 + n %% %(kinds)s];
INSERT INTO billing_fence (subject, version, changed, pushed)
    SELECT n, 2, 2, 2 FROM generate_series(%(first)s, %(last)s) AS n;
"""
SEQUENCES = ("auth_user", "billing_subscription")
IDLE = b"""
for i = 2, #ARGV, 2 do
  redis.call('SET', ARGV[i], '2')
  redis.call('HSET', ARGV[i + 1], 'l', 40, 'r', 3, 'p', 10)
  redis.call('PEXPIREAT', ARGV[i + 1], ARGV[1])
end
"""
IDLE_SCRIPT = Script("idle", IDLE, sha1(IDLE, usedforsecurity=False).hexdigest().encode())
ACCOUNTS_A_SCRIPT = 2_000


def customers(first: int, last: int, plans: list[Plan], anchor: datetime) -> None:
    """Users, subscriptions, their first period and fences, with ids from `first` to `last`, spread over the plans."""
    values = {
        "first": first,
        "last": last,
        "plans": [plan.pk for plan in plans],
        "kinds": len(plans),
        "anchor": anchor,
        "ends": nth_period(anchor, MONTH, 0).end,
    }
    with connection.cursor() as cursor:
        # Triggers and foreign keys would ask for each row what holds for all of them.
        cursor.execute("SET session_replication_role = replica")
        for statement in CUSTOMERS.split(";\n")[:-1]:
            cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        for table in SEQUENCES:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), %s)", [last])
        cursor.execute("ANALYZE")


def last_month(now: datetime) -> datetime:
    """An anchor: the first period is open now."""
    return now.astimezone(UTC) - timedelta(days=10)


def idle_in_redis(server: Store, accounts: Iterable[int], window: Period) -> None:
    """The keys of accounts that have used something in the window, and nothing in the last minute."""
    starts_at_ms, ends_at_ms = (round(at.timestamp() * 1000) for at in (window.start, window.end))
    expires_at_ms = ends_at_ms + KEPT_AFTER_WINDOW_MS
    names: list[bytes] = []
    for account in accounts:
        keys = AccountKeys(account)
        names += (keys.fence, keys.quota(starts_at_ms))
        if len(names) == 2 * ACCOUNTS_A_SCRIPT:
            server.run(Command(IDLE_SCRIPT, [], [expires_at_ms, *names]))
            names.clear()
    server.run(Command(IDLE_SCRIPT, [], [expires_at_ms, *names]))


def copy_database(name: str) -> None:
    """A second database on the same server, as the present one is now."""
    source = connection.settings_dict["NAME"]
    use_database("postgres")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
    use_database(source)


def use_database(name: str) -> None:
    """From here on this process asks that one."""
    if connection.settings_dict["NAME"] != name or connection.connection is None:
        connection.close()
        connection.settings_dict["NAME"] = name
        connection.ensure_connection()
