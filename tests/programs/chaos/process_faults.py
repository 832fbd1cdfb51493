"""Processes killed at chosen points, and several faults at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from dataclasses import replace

from ratelimit.scripts import ACKNOWLEDGE, ACKNOWLEDGE_HEAD
from tests.programs.chaos.accounts import crowd, customer
from tests.programs.chaos.evidence import Allowance
from tests.programs.chaos.experiment import Lab, experiment
from tests.programs.chaos.load import Account, Call
from tests.programs.chaos.redis_faults import EMPTIED
from tests.programs.chaos.site import SHARDS

SLEEPERS, SLEEP_MS = 8, 2500
WAIT_SECONDS = 20.0


def crowd_and(kind: str, prefix: str) -> list[Account]:
    """The usual load, and one more customer without limits who does nothing by itself."""
    from django.utils import timezone

    extra = customer(prefix, kind, "enterprise", timezone.now())
    extra.clients, extra.cold = 0, kind == "cold"
    return [*crowd(prefix), extra]


@experiment(
    "sigkill-worker",
    "SIGKILL of each gunicorn worker while requests are in it",
    accounts=lambda prefix: crowd_and("sleeper", prefix),
)
def sigkill_worker(lab: Lab) -> None:
    for worker in [lab.site.web_workers()[number] for number in lab.times(2)]:
        sleeping = sleepers(lab)
        os.kill(worker, signal.SIGKILL)
        lab.recover()
        calls = [call for thread, call in sleeping if not thread.join(WAIT_SECONDS)]
        unanswered = sum(call[0].status == 0 for call in calls)
        lab.expect(unanswered > 0, f"no request was in worker {worker}; nothing was tested")


def sleepers(lab: Lab) -> list[tuple[threading.Thread, list[Call]]]:
    """Requests that are charged, in the log, and not answered yet."""
    account = lab.account("sleeper")
    before = charges_of(lab, account)
    started: list[tuple[threading.Thread, list[Call]]] = []
    for number in range(SLEEPERS):
        client, answered = lab.client(account, f"sleeper-{number}"), list[Call]()

        def call() -> None:
            answered.append(client.call("risk/score", sleep_ms=SLEEP_MS))  # noqa: B023  # it is started in this turn
            client.close()  # noqa: B023

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        started.append((thread, answered))
    drained = before + SLEEPERS
    lab.site.until(lambda: charges_of(lab, account) >= drained, WAIT_SECONDS, "the sleeping calls are not charged")
    return started


def charges_of(lab: Lab, account: Account) -> int:
    return int(lab.site.one("SELECT count(*) FROM usage_usagelog WHERE account_id = %s", account.pk))


@experiment("sigkill-drain", "SIGKILL of the drain between commit and acknowledgement, three times")
def sigkill_drain(lab: Lab) -> None:
    for _ in lab.times(3):
        kill_drain_after_commit(lab)
        lab.recover()


def kill_drain_after_commit(lab: Lab) -> None:
    """The proxy withholds the drain's acknowledgement, which it sends once PostgreSQL has committed."""
    lab.site.proxy.hold(ACKNOWLEDGE_HEAD, ACKNOWLEDGE)
    held = lab.site.proxy.held(WAIT_SECONDS)
    lab.site.kill("drain")
    lab.site.proxy.passing()
    committed = [event for event in waiting_events(lab) if event in logged(lab)]
    lab.expect(held and bool(committed), "the drain was not between commit and acknowledgement; nothing was tested")


def waiting_events(lab: Lab) -> list[str]:
    """Charges that stand in Redis' streams."""
    with contextlib.closing(lab.site.redis()) as client:
        entries = [entry for shard in range(SHARDS) for entry in client.xrange(f"{{s{shard:02d}}}:events")]
    return [json.loads(fields[b"e"])[1] for _, fields in entries]


def logged(lab: Lab) -> set[str]:
    with lab.site.sql() as connection:
        accounts = [account.pk for account in lab.accounts]
        rows = connection.execute("SELECT event_id::text FROM usage_usagelog WHERE account_id = ANY(%s)", [accounts])
        return {event for (event,) in rows}


@experiment("sigkill-beat", "SIGKILL of beat, and a change that only its sweep can carry to Redis", needs_celery=True)
def sigkill_beat(lab: Lab) -> None:
    account = lab.account("large-1")
    beat = lab.site.take_out("beat")
    lab.tend(1.5)  # what beat had sent off by then is over
    with lab.site.sql() as connection:
        connection.execute(
            'INSERT INTO billing_limitoverride (account_id, "limit", maximum, reason, created_at)'
            " VALUES (%s, 'quota', 0, '', now())",
            [account.pk],
        )
    account.fixed = False
    lab.tend(2.5)
    lab.expect(waits_for_the_sweep(lab, account), "the change was carried without beat; nothing was tested")
    lab.site.put_back(beat)
    swept = lab.site.until(lambda: not waits_for_the_sweep(lab, account), WAIT_SECONDS, "the sweep does not come back")
    lab.recovery_seconds = swept
    call = lab.client(account, "after-sweep").call("risk/score")
    lab.expect(call.code == "quota_exceeded", "the change does not act after the sweep", [call])


def waits_for_the_sweep(lab: Lab, account: Account) -> bool:
    return bool(lab.site.one("SELECT version > pushed FROM billing_fence WHERE subject = %s", account.pk))


@experiment(
    "redis-and-drain",
    "Redis and the drain killed together, then a worker, with replies lost",
    Allowance(minutes_anew=1),
)
def redis_and_drain(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.lose_replies(0.1)
        lab.tend(1)
        lab.site.kill("drain")
        lab.site.kill("valkey")
    lab.tend(2)
    os.kill(lab.site.web_workers()[0], signal.SIGKILL)
    lab.tend(2)
    lab.site.proxy.passing()


@experiment(
    "everything",
    "in ten seconds: scripts and data flushed, replies lost, drain, worker, beat, Redis and PostgreSQL killed",
    replace(EMPTIED, unavailable=True, split=True, minutes_anew=3),
    stops_postgres=True,
    needs_celery=True,
)
def everything(lab: Lab) -> None:
    with lab.losing_redis(), contextlib.closing(lab.site.redis()) as client:
        client.script_flush()
        client.flushall()
    lab.site.proxy.lose_replies(0.1)
    lab.site.kill("beat")
    lab.tend(2)
    os.kill(lab.site.web_workers()[0], signal.SIGKILL)
    lab.site.kill("drain")
    lab.tend(1)
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    lab.tend(1)
    postgres = lab.site.take_out("postgres")
    lab.tend(2)
    lab.site.put_back(postgres)
    lab.site.put_back(valkey)
    lab.tend(2)
    lab.site.proxy.passing()
