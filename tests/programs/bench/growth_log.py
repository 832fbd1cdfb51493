"""Reports of one account, as whole WSGI calls, where the usage log holds 10,000 rows and where it holds 10,000,000.

Two databases, asked in turn. The log's sums grow with it: as many accounts, months and features as the rows are of. The
last line reads the log itself, a page of the newest entries. The account asked about has the same 1,000 events in both.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from billing.models import ApiKey, Plan
from billing.rules.periods import MONTH, month_window, period_start
from billing.subscriptions import opening
from tests.programs.bench import Row, at_most
from tests.programs.bench.growth_population import copy_database, use_database
from tests.programs.bench.rounds import Contestant, measure, timing
from tests.programs.bench.stage import say
from usage.log.months import partitions

TITLE = "Growth: the usage log"
PATHS = {
    "/usage/current": "/api/v1/usage/current",
    "/usage/breakdown": "/api/v1/usage/breakdown",
    "/usage/history, 90 days": "/api/v1/usage/history?from={since}&to={today}",
    "/usage/logs": "/api/v1/usage/logs",
}
SMALL = "short_log"
MONTHS = 12
EVENTS_AN_ACCOUNT = 1_000
ROWS = """
INSERT INTO usage_usagelog (id, event_id, charged_at, created_at, account_id, feature, tokens, kind, source, key_prefix,
        window_starts_at)
    SELECT id, id, at, at, account, feature, 5, 'charge', 'gateway', 'benchkey', date_trunc('month', at, 'UTC')
    FROM (
        SELECT gen_random_uuid() AS id, %(until)s::timestamptz - n %% %(seconds)s * interval '1 second' AS at,
            %(first)s + n / %(each)s AS account, 'feature' || n %% 4 AS feature
        FROM generate_series(0, %(rows)s - 1) AS n
    ) AS event
"""
SUMS = (
    """
    INSERT INTO usage_dailyusage (account_id, date, feature, tokens, calls)
        SELECT account_id, (charged_at AT TIME ZONE 'UTC')::date, feature, sum(tokens), count(*) FROM usage_usagelog
        WHERE account_id >= %s GROUP BY 1, 2, 3
    """,
    """
    INSERT INTO usage_featureusage (account_id, window_starts_at, feature, tokens)
        SELECT account_id, date_trunc('month', date::timestamp) AT TIME ZONE 'UTC', feature, sum(tokens)
        FROM usage_dailyusage WHERE account_id >= %s GROUP BY 1, 2, 3
    """,
    """
    INSERT INTO usage_windowusage (account_id, starts_at, ends_at, tokens, revision)
        SELECT account_id, window_starts_at, window_starts_at + interval '1 month', sum(tokens), 1
        FROM usage_featureusage WHERE account_id >= %s GROUP BY 1, 2
    """,
)


def run(*, quick: bool) -> list[Row]:
    few, many = 10_000, 200_000 if quick else 10_000_000
    now = datetime.now(UTC)
    partitions.ensure(period_start(month_window(now).start, MONTH, -n) for n in range(MONTHS))
    get = _reader(now)
    log_of = int(get_user_model().objects.get(username="alice").pk)
    grow(log_of, few, now)
    large_database = str(connection.settings_dict["NAME"])
    copy_database(SMALL)
    say(f"{many:,} rows")
    grow(log_of + few, many - few, now)
    contestants = {
        (name, path): Contestant(partial(get, path), partial(use_database, name))
        for name in (SMALL, large_database)
        for path in PATHS
    }
    medians = measure(contestants, 12 if quick else 50, 25)
    small, large = ({path: timing(medians[name, path]) for path in PATHS} for name in (SMALL, large_database))
    rows = []
    for path in PATHS:
        rows.append(Row(f"{path}, {few:,} rows", small[path].us, "µs", note=small[path].spread))
        name, note = f"{path}, {many:,} rows", large[path].spread
        rows.append(at_most(name, large[path].us, "µs", times=1.2, of=small[path].us, what=f"with {few:,}", note=note))
    use_database(large_database)
    return [*rows, Row("the log on disk, a row with its share of the indexes", _bytes_a_row(many), "bytes")]


def _bytes_a_row(rows: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'usage_usagelog'::regclass"
        )
        return float(cursor.fetchone()[0]) / rows


def _reader(now: datetime) -> Callable[[str], None]:
    """Calls as alice, who is on a plan without limits."""
    user = get_user_model().objects.create_user("alice")
    opening.subscribe(user.pk, Plan.objects.get(code="enterprise"), now)
    _, key = ApiKey.issue(account=user, name="bench", scope="")
    api = Client(headers={"authorization": f"Bearer {key}"})
    dates = {"since": (now - timedelta(days=89)).date(), "today": now.date()}

    def get(path: str) -> None:
        assert api.get(PATHS[path].format(**dates)).status_code == 200

    return get


def grow(first: int, rows: int, now: datetime) -> None:
    """Events of the last year, and the sums that follow from them; the indexes are built after the rows."""
    values = {
        "until": now,
        "seconds": 86_400 * 28 * (MONTHS - 1),
        "first": first,
        "rows": rows,
        "each": EVENTS_AN_ACCOUNT,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '512MB'")
        cursor.execute(
            "ALTER TABLE usage_usagelog DROP CONSTRAINT usage_usagelog_pkey; DROP INDEX usage_log_of_account"
        )
        cursor.execute(ROWS, values)
        cursor.execute("ALTER TABLE usage_usagelog ADD PRIMARY KEY (id, charged_at)")
        cursor.execute("CREATE INDEX usage_log_of_account ON usage_usagelog (account_id, charged_at DESC, id DESC)")
        for statement in SUMS:
            cursor.execute(statement, [first])
    for table in ("usage_usagelog", "usage_dailyusage", "usage_featureusage", "usage_windowusage"):
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM ANALYZE {table}")
