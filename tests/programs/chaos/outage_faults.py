"""What happens while PostgreSQL decides: facts change, workers die, the window ends, Redis comes and goes."""

from __future__ import annotations

import os
import signal
import time

from tests.programs.chaos.accounts import crowd, customer
from tests.programs.chaos.evidence import USUAL_LAG_SECONDS, Allowance
from tests.programs.chaos.experiment import Lab, experiment
from tests.programs.chaos.load import Account, Client
from tests.programs.chaos.proxy import tcp_ports
from tests.programs.chaos.site_changes import (
    ROLLOVER_IN_SECONDS,
    both_windows_were_used,
    edited_and_revoked,
    rolling,
    upgrade,
)

FLAPS = 6
PARTITION_SECONDS = 8
NOTICE_SECONDS = 3.0
MOST_CONNECTIONS = 40


@experiment(
    "outage-changes",
    "a plan edited, a key revoked, an upgrade while Redis is gone",
    accounts=edited_and_revoked,
)
def outage_changes(lab: Lab) -> None:
    """Without Redis the facts are compared in PostgreSQL, so what changes acts at once."""
    from django.contrib.auth import get_user_model

    from billing.models import ApiKey, Plan

    with lab.losing_redis():
        lab.site.proxy.blackhole()
    lab.tend(1)
    edited, revoked = lab.account("edited"), lab.account("revoked")
    Plan.objects.filter(code=lab.prefix).update(monthly_token_quota=0)
    ApiKey.objects.filter(account_id=revoked.pk).update(revoked=True)
    changed_at = time.time()
    upgrade(lab, lab.account("upgrading"))
    lab.tend(1)
    since = [call for call in lab.load.calls if call.began > changed_at and call.ended]
    for account, status in ((edited, 429), (revoked, 401)):
        calls = [call for call in since if call.account == account.pk]
        lab.expect(bool(calls), f"{account.role} has not called after the change; nothing was tested")
        wrong = [call for call in calls if call.status != status]
        lab.expect(not wrong, f"{account.role} was not answered with {status} after the change", list(wrong))
    # Redis is told of an account when it calls, and without a key nobody calls.
    revoked.key = ApiKey.issue(account=get_user_model().objects.get(pk=revoked.pk), name="chaos")[1]
    lab.site.proxy.passing()


@experiment(
    "outage-workers", "each gunicorn worker and the drain killed while Redis is gone", Allowance(minutes_anew=1)
)
def outage_workers(lab: Lab) -> None:
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    lab.tend(1)
    for worker in lab.site.web_workers():
        os.kill(worker, signal.SIGKILL)
        lab.tend(3)
    lab.site.kill("drain")
    lab.site.put_back(valkey)


@experiment(
    "outage-orphaned", "all gunicorn workers killed while Redis is gone, which comes back", Allowance(slow=True)
)
def outage_orphaned(lab: Lab) -> None:
    """Nobody is left who knows of the outage, and it has to end all the same."""
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    lab.tend(1.5)
    for worker in lab.site.web_workers():
        os.kill(worker, signal.SIGKILL)
    lab.site.put_back(valkey)


@experiment(
    "outage-rollover",
    "the quota's window ends while Redis is gone",
    accounts=rolling,
    after=both_windows_were_used,
)
def outage_rollover(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.blackhole()
    lab.tend(ROLLOVER_IN_SECONDS)
    lab.site.proxy.passing()


@experiment("outage-flapping", "Redis unreachable and back, six times a second apart")
def outage_flapping(lab: Lab) -> None:
    for _ in range(FLAPS):
        with lab.losing_redis():
            lab.site.proxy.blackhole()
        lab.tend(0.6)
        lab.site.proxy.passing()
        lab.tend(0.6)


def crowd_on_both_sides(prefix: str) -> list[Account]:
    """The usual load, customers who spend their quota by both processes at once, and one who repeats by the other."""
    from django.utils import timezone

    now = timezone.now()
    spending = [customer(prefix, f"both-{n}", "starter", now, quota=250, minute=None) for n in (1, 2)]
    for account in spending:
        account.clients, account.pace = 6, 2.0
    repeating = customer(prefix, "repeats", "enterprise", now)
    repeating.clients = 0
    return [*crowd(prefix)[1:], *spending, repeating]


@experiment(
    "one-process",
    "one of the two web processes loses Redis for 8 s, the other one keeps it",
    Allowance(split=True),
    accounts=crowd_on_both_sides,
)
def one_process(lab: Lab) -> None:
    """A key charged by one side is charged by the other one only while nobody could tell it, and once in the end."""
    away, near = (reaching(lab, worker) for worker in lab.site.web_workers())
    with lab.losing_redis():
        lab.site.proxy.cut_off(lab.site.web_workers()[0])
    began = time.monotonic()
    lab.site.until(lambda: outage_goes_on(lab), NOTICE_SECONDS, "the process has not lost Redis; nothing was tested")
    for number, (first, second) in enumerate([(away, near), (near, away)] * 3):
        made, at_once = (client.call("risk/score", key=f"at-once-{number}") for client in (first, second))
        bought = first.call("risk/score", key=f"told-{number}")
        lab.tend(USUAL_LAG_SECONDS)
        told = second.until_ended("risk/score", f"told-{number}", lab.load.stopping)
        # The drain may have told it by then, but not how it ended: then it is in flight, and nothing is charged twice.
        answered = at_once.served or at_once.code == "idempotency_in_progress"
        served = made.served and answered and bought.served
        lab.expect(served, "not every call was served", [made, at_once, bought])
        lab.expect(told.event == bought.event, "the other side was not told of a key", [bought, told])
    lab.tend(max(PARTITION_SECONDS - (time.monotonic() - began), 0))
    lab.site.until(lambda: outage_goes_on(lab), NOTICE_SECONDS, "the process has Redis back already")
    lab.site.proxy.passing()
    for client in (away, near):
        client.close()


def outage_goes_on(lab: Lab) -> bool:
    return bool(lab.site.one("SELECT count(*) FROM usage_redisoutage WHERE ended_at IS NULL"))


def reaching(lab: Lab, worker: int) -> Client:
    """A client whose connection one web process has taken."""
    account = lab.account("repeats")
    for number in range(MOST_CONNECTIONS):
        client = lab.client(account, f"{worker}-{number}")
        client.send("GET", "/api/v1/usage/current")
        if client.port in {theirs for ours, theirs in tcp_ports(worker) if ours == lab.site.port}:
            return client
        client.close()
    raise TimeoutError(f"worker {worker} has taken none of {MOST_CONNECTIONS} connections")
