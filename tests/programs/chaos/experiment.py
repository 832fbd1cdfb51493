"""What an experiment is, and how one runs: load, fault, recovery, drain, verdict."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from billing_site.local.engines import Valkey
from tests.programs.chaos.accounts import crowd
from tests.programs.chaos.evidence import USUAL_LAG_SECONDS, Allowance, Loss, Verdict, minted, outages_since, read_log
from tests.programs.chaos.load import LONGEST_REQUEST_SECONDS, Account, Client, Load
from tests.programs.chaos.site import Site
from tests.programs.chaos.verdict import Judge

WARM_SECONDS, AFTER_SECONDS = 3.0, 3.0
BRIEF_SECONDS = 1.0  # instead of both
RECOVERY_SECONDS, DRAIN_SECONDS, LAST_ANSWER_SECONDS = 60.0, 60.0, 40.0
SAME_LOSS_SECONDS = 2.0
MOST_CALLS_TO_EXHAUST = 300


Engine = Callable[[Site], AbstractContextManager[Valkey]]
_number = itertools.count(1)


class Impossible(Exception):
    """The experiment cannot be made on this machine; the message says why."""


@dataclass
class Lab:
    """What an experiment works with. `prefix` begins the names of its users and is the code of a plan of its own."""

    site: Site
    load: Load
    prefix: str
    accounts: list[Account]
    brief: bool = False
    losses: list[Loss] = field(default_factory=list)
    findings: list[tuple[str, list[Any]]] = field(default_factory=list)
    recovery_seconds: float = 0.0
    """The longest of its recoveries."""

    def times(self, number: int) -> range:
        """So many times, but in a brief run once."""
        return range(1 if self.brief else number)

    def tend(self, seconds: float) -> None:
        self.site.tend(seconds)

    def account(self, role: str) -> Account:
        return next(account for account in self.accounts if account.role == role)

    def named(self, part: str) -> list[Account]:
        """All whose role begins so."""
        return [account for account in self.accounts if account.role.startswith(part)]

    def client(self, account: Account, name: str) -> Client:
        return self.load.client(account, name)

    @contextlib.contextmanager
    def losing_redis(self) -> Iterator[None]:
        """Around the act by which Redis is lost: notes what of its charges PostgreSQL had by then."""
        loss = Loss({row.event for row in read_log(self.site, [account.pk for account in self.accounts])})
        yield
        loss.at = time.time()
        self.losses.append(loss)

    def note_outages(self, outages: list[float]) -> None:
        """Redis is lost when an outage begins: soon after the act, or on a busy machine without any."""
        for began in outages:
            made = [loss for loss in self.losses if 0 <= began - loss.at < SAME_LOSS_SECONDS]
            for loss in made:
                loss.at = began
            if not made:
                rows = read_log(self.site, [account.pk for account in self.accounts])
                logged = {row.event for row in rows if minted(row.event) < began - USUAL_LAG_SECONDS}
                self.losses.append(Loss(logged, began))

    def recover(self) -> None:
        """From the end of a fault: until all processes run, Redis decides again, and what came before is drained."""
        site, over = self.site, time.time()

        def recovered() -> bool:
            return (
                site.all_run()
                and site.drained_up_to() > over
                and site.is_healthy()
                and not site.one("SELECT count(*) FROM usage_redisoutage WHERE ended_at IS NULL")
            )

        seconds = site.until(recovered, RECOVERY_SECONDS, "the site does not recover")
        self.recovery_seconds = max(self.recovery_seconds, seconds)

    def expect(self, holds: bool, otherwise: str, evidence: list[Any] | None = None) -> None:
        if not holds:
            self.findings.append((otherwise, evidence or []))


@dataclass(frozen=True)
class Experiment:
    """One fault, or several. `inject` returns when the fault is over, or leaves it to the supervisor to repair it."""

    name: str
    what: str
    inject: Callable[[Lab], None]
    may: Allowance
    accounts: Callable[[str], list[Account]]
    after: Callable[[Lab], None] | None
    redis: Engine | None
    stops_postgres: bool
    needs_celery: bool


EXPERIMENTS: dict[str, Experiment] = {}


def experiment(
    name: str,
    what: str,
    may: Allowance | None = None,
    *,
    accounts: Callable[[str], list[Account]] = crowd,
    after: Callable[[Lab], None] | None = None,
    redis: Engine | None = None,
    stops_postgres: bool = False,
    needs_celery: bool = False,
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Register a function as the fault of an experiment; `redis` makes the server it needs."""

    def register(inject: Callable[[Lab], None]) -> Callable[[Lab], None]:
        EXPERIMENTS[name] = Experiment(
            name, what, inject, may or Allowance(), accounts, after, redis, stops_postgres, needs_celery
        )
        return inject

    return register


def run(site: Site, chosen: Experiment, seed: int, logs: Path, *, brief: bool = False) -> Verdict:
    """Make one experiment on a site that is well, and leave it well. Raises Impossible."""
    if chosen.redis is None:
        return _run_and_leave_well(site, chosen, seed, logs, brief)
    with chosen.redis(site) as valkey:
        site.exchange_valkey(valkey)
        try:
            return _run_and_leave_well(site, chosen, seed, logs, brief)
        finally:
            site.exchange_valkey(site.make_valkey())


def _run_and_leave_well(site: Site, chosen: Experiment, seed: int, logs: Path, brief: bool) -> Verdict:
    try:
        site.until(lambda: site.is_healthy() and site.backlog() == 0, RECOVERY_SECONDS, "the site is not well")
        return _run(site, chosen, seed, logs, brief)
    finally:
        site.resume()
        site.proxy.passing()


def _run(site: Site, chosen: Experiment, seed: int, logs: Path, brief: bool) -> Verdict:
    from django.db import connections

    connections.close_all()  # the experiment before may have stopped PostgreSQL
    prefix = f"{chosen.name}-{next(_number)}"
    accounts = chosen.accounts(prefix)
    lab = Lab(site, Load(site.address, accounts, f"{seed}-{chosen.name}"), prefix, accounts, brief)
    if brief:
        for account in accounts:
            account.clients = min(account.clients, 1)
    began = time.time()
    lab.load.start()
    try:
        lab.tend(BRIEF_SECONDS if brief else WARM_SECONDS)
        chosen.inject(lab)
        lab.recover()
        lab.tend(BRIEF_SECONDS if brief else AFTER_SECONDS)
        _settle(lab)
        _void_second_charges(lab)
        _touch_and_exhaust(lab)
        _settle(lab)
        if chosen.after is not None:
            chosen.after(lab)
    except TimeoutError as error:
        lab.expect(False, str(error))
    except Exception as error:
        # The other experiments are still worth making.
        lab.expect(False, f"the experiment itself failed: {error!r}", traceback.format_exc().splitlines()[-6:])
    finally:
        lab.load.stop()
    with contextlib.suppress(TimeoutError):
        _settle(lab)
    outages = outages_since(site, began)
    lab.note_outages(outages)
    verdict = Judge(site, accounts, lab.load.calls, lab.losses, chosen.may.after(len(outages))).judge()
    verdict.outages = len(outages)
    verdict.recovery_seconds = lab.recovery_seconds
    for what, evidence in lab.findings:
        verdict.find(what, evidence)
    if not verdict.passed:
        _keep_evidence(lab, logs / f"{chosen.name}.calls.jsonl")
    return verdict


def _settle(lab: Lab) -> None:
    """Until every client has its last answer and the drain has acknowledged everything."""
    lab.load.stop()
    lab.site.until(lambda: lab.load.ended, LAST_ANSWER_SECONDS, "clients still wait for an answer")
    lab.site.until(lambda: lab.site.backlog() == 0, DRAIN_SECONDS, "the drain does not come to an end")


def _void_second_charges(lab: Lab) -> None:
    """As beat does each minute: once no request is in flight any more."""
    from django.db import connections
    from django.utils import timezone

    from usage.reconciliation.second_charges import void_second_charges

    lab.tend(LONGEST_REQUEST_SECONDS)
    connections.close_all()  # the fault may have been PostgreSQL's
    void_second_charges(timezone.now())


def _touch_and_exhaust(lab: Lab) -> None:
    """Have Redis told of every account, and spend what is left of each quota: it must end where the quota ends."""
    for account in lab.accounts:
        client = lab.client(account, "last")
        client.send("GET", "/api/v1/usage/current")
        if account.quota is None or not account.fixed or account.minute is not None:
            continue
        for _ in range(MOST_CALLS_TO_EXHAUST):
            if client.call("trace/expand").code == "quota_exceeded":
                break
        else:
            lab.expect(False, f"L1: {account.role} is not refused at the end of its quota of {account.quota}")
        client.close()


def _keep_evidence(lab: Lab, path: Path) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(asdict(call)) + "\n" for call in lab.load.calls)
