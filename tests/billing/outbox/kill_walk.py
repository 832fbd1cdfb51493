"""A process that forks dispatchers and kills each at another point: before every statement, before every commit, and in
every call of a consumer, before it took effect. (After it is before the statement that notes it.)

For each point: messages of two accounts are recorded; a dispatcher runs and kills itself there; another one runs an
hour later, and finishes. Prints a JSON line a point: what was recorded, and every call in the order it took effect.
Ends after the first point that a dispatcher does not reach.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from billing.models import OutboxMessage  # noqa: E402
from billing.outbox.delivery import Delivery  # noqa: E402
from billing.outbox.kinds import Happened  # noqa: E402
from billing.outbox.positions import give_positions  # noqa: E402
from billing.outbox.record import record  # noqa: E402
from tests.processes import NEVER, at_statements, is_killed, killing_at  # noqa: E402

NOON = datetime(2025, 10, 16, 12, tzinfo=UTC)
CONSUMERS = ("log", "mail")


def dispatcher(effects: int, now: datetime, killed_at: int) -> None:
    """One dispatcher's life, in a process of its own."""
    step = killing_at(killed_at)

    def consume_as(name: str) -> Callable[[OutboxMessage], None]:
        def consume(message: OutboxMessage) -> None:
            step()
            os.write(effects, json.dumps([name, message.account_id, message.pk]).encode() + b"\n")

        return consume

    with at_statements(step):
        give_positions(CONSUMERS, now)
        for name in CONSUMERS:
            Delivery(name, consume_as(name), lambda: now).run()


def main() -> None:
    for point in itertools.count(1):
        first, second = 2 * point, 2 * point + 1
        with transaction.atomic():
            for account in (first, second, first):
                record(Happened.SUBSCRIPTION_OPENED, account, plan="pro")
        recorded = list(OutboxMessage.objects.filter(account__in=[first, second]).values_list("account", "pk"))
        now = NOON + timedelta(hours=2 * point)
        with tempfile.TemporaryFile(buffering=0) as effects:
            killed = is_killed(dispatcher, effects.fileno(), now, point)
            dispatcher(effects.fileno(), now + timedelta(hours=1), NEVER)
            connection.close()
            effects.seek(0)
            calls = [json.loads(line) for line in effects.read().splitlines()]
        print(json.dumps({"killed": killed, "recorded": sorted(recorded), "calls": calls}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main()
