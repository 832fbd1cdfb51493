"""One metered call, decided and charged, where there are 1,000 accounts and where there are 1,000,000.

Each has a database and a Redis of its own, asked in turn; all share one core. "Warm": the worker knows the account, as
nearly always. "Cold": it reads the account's facts, and Redis knows the account, as nearly always; "new to Redis": that
has to be told first. Below: what the accounts between the two take of Redis.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from django.conf import settings
from django.db import connection

from billing.catalogue.in_memory import Catalogue
from billing.entitlements import snapshots
from billing.entitlements.callers import Caller
from billing.entitlements.snapshots import Snapshot
from billing.models import Plan
from billing.rules.periods import month_window
from billing_site.local.engines import Valkey
from ratelimit import store as ways
from ratelimit.keys import AccountKeys
from tests.ports import free_port
from tests.programs.bench import Row, at_most
from tests.programs.bench.growth_population import copy_database, customers, idle_in_redis, last_month, use_database
from tests.programs.bench.rounds import Contestant, measure, timing
from tests.programs.bench.stage import say
from usage.metering import admit
from usage.metering.call import ChargeRequest

TITLE = "Growth: accounts"
FEW = 1_000
CALLERS = 1_000
"""Accounts that call in turn, spread over all there are."""
SMALL = "few_accounts"
COLD_US = 1_500


class Site:
    """A database and a Redis that belong together, and what a worker remembers of their accounts."""

    def __init__(self, database: str, redis_url: str, accounts: int) -> None:
        self.database = database
        self.redis_url = redis_url
        self.accounts = accounts
        self._remembered: dict[int, Snapshot] = {}
        self._following = cycle(range(accounts // CALLERS, accounts + 1, accounts // CALLERS))

    def enter(self) -> None:
        use_database(self.database)
        snapshots._accounts.clear()
        snapshots._accounts.update(self._remembered)
        if self.redis_url != settings.REDIS_URL:
            settings.REDIS_URL = self.redis_url
            ways.store.cache_clear()
            ways.client.cache_clear()

    def warm_up(self) -> None:
        self.enter()
        for _ in range(CALLERS):
            self.call()
        self._remembered = dict(snapshots._accounts)

    def call(self) -> None:
        assert admit.admit(Caller(next(self._following)), _charge).admitted

    def cold_call(self) -> None:
        snapshots._accounts.clear()
        self.call()

    def call_new_to_redis(self) -> None:
        account = next(self._following)
        snapshots._accounts.clear()
        ways.client().delete(AccountKeys(account).fence)
        assert admit.admit(Caller(account), _charge).admitted


def run(*, quick: bool) -> list[Row]:
    many = 50_000 if quick else 1_000_000
    with _second_redis() as second:
        sites = [Site(SMALL, settings.REDIS_URL, FEW), Site(str(connection.settings_dict["NAME"]), second, many)]
        bytes_each = _populate(*sites)
        for site in sites:
            site.warm_up()
        warm = [Contestant(site.call, site.enter) for site in sites]
        cold = [Contestant(site.cold_call, site.enter) for site in sites]
        new = [Contestant(site.call_new_to_redis, site.enter) for site in sites]
        found = {
            "warm": measure({"few": warm[0], "many": warm[1]}, 10 if quick else 80, 200),
            "cold": measure({"few": cold[0], "many": cold[1]}, 5 if quick else 20, 20),
            "new to Redis": measure({"few": new[0], "many": new[1]}, 5 if quick else 20, 20),
        }
    rows = [_goal_of_cold(timing(found["cold"]["few"]).us)]
    for kind, medians in found.items():
        few, large = timing(medians["few"]), timing(medians["many"])
        rows.append(Row(f"{kind}, {FEW:,} accounts", few.us, "µs", note=few.spread))
        name, what = f"{kind}, {many:,} accounts", f"with {FEW:,}"
        rows.append(at_most(name, large.us, "µs", times=1.2, of=few.us, what=what, note=large.spread))
    return [*rows, Row("Redis, each account more", bytes_each, "bytes")]


def _goal_of_cold(us: float) -> Row:
    return Row("cold, as it was set as a goal", us, "µs", f"≤ {COLD_US:,} µs", None, us <= COLD_US)


@contextmanager
def _second_redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = Valkey(Path(folder) / "valkey", port=free_port(), durable=False)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


def _populate(small: Site, large: Site) -> float:
    """Both sites; returns how many bytes of Redis an account takes."""
    now = datetime.now(UTC)
    starter = Plan.objects.get(code="starter")
    Plan.objects.filter(pk=starter.pk).update(monthly_token_quota=10**12, requests_per_minute=1_000_000)
    customers(1, small.accounts, [starter], last_month(now))
    copy_database(small.database)
    say(f"{large.accounts:,} accounts")
    customers(small.accounts + 1, large.accounts, [starter], last_month(now))
    for site in (small, large):
        site.enter()
        ways.client().flushall()
        before = _used_memory()
        idle_in_redis(ways.store(), range(1, site.accounts + 1), month_window(now))
    return (_used_memory() - before) / large.accounts


def _used_memory() -> int:
    return int(ways.client().info("memory")["used_memory"])


def _charge(catalogue: Catalogue) -> ChargeRequest:
    return ChargeRequest(catalogue.features["risk_score"])
