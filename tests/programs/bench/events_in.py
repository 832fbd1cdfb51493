"""Reported events, sent by one sender in batches of 1,000 through all of Django, in one process without a network.

Each batch is read, checked, recorded once in one transaction with its sums, and told to Redis before it is answered. A
bare COPY, one statement, then writes the rows of all batches to a table that is keyed and indexed as the log is.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import median
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from billing.models import ApiKey, Plan
from billing.rules.periods import month_window
from billing.subscriptions import opening
from tests.programs.bench import Row
from tests.programs.bench.drain import BARE, SUMS, make_bare_table, seconds, truncate
from tests.programs.bench.stage import say
from usage.log.months import partitions

TITLE = "Events in"
BATCH, FEATURES = 1_000, ("trace_start", "graph_query", "risk_score", "wallet_scan")
LEAST = 5_000
_numbers = count()


def run(*, quick: bool) -> list[Row]:
    partitions.ensure_ahead(timezone.now())
    make_bare_table(month_window(datetime.now(UTC)))
    accounts = [_account(f"c{n}", "enterprise") for n in range(BATCH)]
    sender = Client(headers={"authorization": f"Bearer {_meter_key()}"})
    rounds, batches = (1, 5) if quick else (6, 20)
    found: dict[str, list[float]] = {"few": [], "crowd": [], "copy": [], "again": []}
    for turn in range(rounds):
        for name, among in (("few", accounts[:50]), ("crowd", accounts)):
            _round(sender, among, batches, found, name, random.Random(turn))
    few, crowd, copied, again = (median(found[name]) for name in ("few", "crowd", "copy", "again"))
    goal = f"≥ {LEAST:,} events/s"
    return [
        Row("a bare COPY of the same rows", copied, "rows/s"),
        Row("events of 50 accounts", few, "events/s", goal, few / copied, few >= LEAST, "the ratio is to the COPY"),
        Row("every event of a batch of another account", crowd, "events/s", goal, crowd / copied, crowd >= LEAST),
        Row("the same batches sent again: all are duplicates", again, "events/s"),
    ]


def _round(
    sender: Client,
    accounts: list[int],
    batches: int,
    found: dict[str, list[float]],
    name: str,
    chance: random.Random,
) -> None:
    truncate("usage_usagelog", *SUMS, BARE)
    bodies = [_body(accounts, chance) for _ in range(batches)]
    taken = seconds(lambda: [_send(sender, body, accepted=BATCH) for body in bodies])
    again = seconds(lambda: [_send(sender, body, accepted=0) for body in bodies])
    found[name].append(batches * BATCH / taken)
    found["again"].append(batches * BATCH / again)
    found["copy"].append(batches * BATCH / _copy(batches * BATCH))
    say(f"{name}: {found[name][-1]:,.0f} events/s, again {found['again'][-1]:,.0f}, COPY {found['copy'][-1]:,.0f}")


def _send(sender: Client, body: str, *, accepted: int) -> None:
    response: Any = sender.post("/api/v1/usage/events", body, content_type="application/json")
    assert response.status_code == 200 and response.json()["accepted"] == accepted, response.content[:500]


def _body(accounts: list[int], chance: random.Random) -> str:
    """Of the last minute, each with a name as senders give them and a little metadata."""
    now = timezone.now()
    chosen = chance.sample(accounts, BATCH) if len(accounts) >= BATCH else chance.choices(accounts, k=BATCH)
    return json.dumps(
        {
            "events": [
                {
                    "id": f"req-{next(_numbers):020d}",
                    "time": (now - timedelta(milliseconds=chance.randrange(60_000))).isoformat(),
                    "feature": chance.choice(FEATURES),
                    "account": account,
                    "metadata": {"region": "eu", "node": chance.randrange(40)},
                }
                for account in chosen
            ]
        }
    )


def _copy(rows: int) -> float:
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT * FROM usage_usagelog) TO STDOUT") as copy:
            text = b"".join(bytes(part) for part in copy)
        assert text.count(b"\n") == rows

        def bare() -> None:
            with cursor.copy(f"COPY {BARE} FROM STDIN") as copy:
                copy.write(text)

        return seconds(bare)


def _account(name: str, plan: str) -> int:
    user = get_user_model().objects.create_user(name)
    opening.subscribe(user.pk, Plan.objects.get(code=plan), timezone.now())
    return int(user.pk)


def _meter_key() -> str:
    account = get_user_model().objects.get(pk=_account("operator", "enterprise"))
    return ApiKey.issue(account=account, name="bench", scope="meter")[1]
