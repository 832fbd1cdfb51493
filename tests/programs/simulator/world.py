"""All that histories share: the engines, the processes, the clock, and production code wired to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from random import Random
from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import override_settings

import ratelimit.store
from billing.catalogue import in_memory
from billing.models import Feature, LimitOverride, ModelPrice, Plan, Subscription
from tests.programs.simulator import reserving
from tests.programs.simulator.database_faults import (
    Faults,
    Observer,
    closed_connection,
    cut,
    forget_connection,
    watch_connection,
)
from tests.programs.simulator.hangs import Hangs
from tests.programs.simulator.memory import Chance, Clock, OwnGlobals, remembered, seeded
from tests.programs.simulator.redis_faults import Client, Ran, Server, Way, WayOfTheProcess
from tests.programs.simulator.schedule import Process, Schedule, State, here
from tests.programs.simulator.standings import Call
from tests.programs.simulator.truth import Truth
from usage.drain import drain
from usage.log.events import Event
from usage.log.months import partitions

PROCESSES = (("web 1", 2), ("web 2", 1), ("web 3", 1), ("drain 1", 1), ("drain 2", 1), ("beat", 1))
"""Each with its threads."""
FORGET_AFTER = 100
EMPTY = (
    "TRUNCATE usage_usagelog, usage_windowusage, usage_featureusage, usage_dailyusage, usage_setasideentry,"
    " usage_receipt, usage_redisoutage, usage_reservation, usage_receivedevent",
    "DELETE FROM billing_limitoverride",
    "DELETE FROM billing_subscription",
    "DELETE FROM auth_user",
    "DELETE FROM billing_fence WHERE subject > 0",
)


class World:
    def __init__(self) -> None:
        self.observer = Observer()
        self.clock, self.chance, self.faults = Clock(), Chance(), Faults()
        self.hangs = Hangs(closed_connection(), self.observer.await_end_of)
        self.server = Server(settings.REDIS_URL, self._ran)
        self.names = [name for name, _ in PROCESSES]
        self.truth = Truth(self.server, self.observer, self.names)
        self.schedule = Schedule(self.observer.blockers, lambda _: cut(self.observer))
        self.ways = {name: Way(self.server, name, 10.0) for name in self.names}
        places = remembered()
        memories = {name: OwnGlobals(places) for name in self.names}
        self._memories = list(memories.values())
        self.processes = [
            Process(name, thread, self.schedule, memories[name], self._live)
            for name, threads in PROCESSES
            for thread in range(threads)
        ]
        self.calling: dict[Process, Call] = {}
        self.editing: dict[Process, int] = {}
        self.shards = range(2)
        self.next_account = 1_000
        self._plan = Plan.objects.get(code="enterprise")
        if not ModelPrice.objects.filter(model=reserving.MODEL).exists():
            feature = Feature.objects.get(code=reserving.FEATURE)
            since = datetime(2031, 1, 1, tzinfo=UTC)
            ModelPrice.objects.create(model=reserving.MODEL, feature=feature, valid_from=since, **reserving.RATES)
        self._catalogue = in_memory.reload_catalogue(0)
        # Here, or the first history would take other steps than it takes alone.
        partitions.ensure(datetime(2031, month, 15, tzinfo=UTC) for month in (3, 4))
        self._begun = 0

    # Before and after a history

    def begin(self, random: Random, faults: frozenset[str], quotas: dict[int, int], start_ms: int) -> None:
        if self._begun % FORGET_AFTER == 0:
            for statement in EMPTY:
                self.observer.execute(statement)
        self._begun += 1
        self.observer.execute("DELETE FROM billing_fence WHERE subject > 0")
        self.observer.execute("DELETE FROM usage_windowusage")
        self.observer.execute("DELETE FROM usage_reservation")
        self.observer.execute("DELETE FROM usage_redisoutage")
        self.next_account += 4
        self.clock.now_ms, self.chance.random = start_ms, random
        self.server.begin(random, faults)
        self.faults.begin(random, "database" in faults)
        self.hangs.begin(random, bool(faults & {"PostgreSQL hangs", "both hang"}))
        for process in self.processes:
            process.faults_are_over = False
        self.schedule.trace.clear()
        self.schedule.put_in_memory(None)
        for memory in self._memories:
            memory.forget()
            memory.know_catalogue(self._catalogue)
        for way in self.ways.values():
            way.forget()
        self.calling.clear()
        self.editing.clear()
        self._open_accounts(quotas)
        self.truth.begin(quotas, self.asking_redis)

    def _open_accounts(self, quotas: dict[int, int]) -> None:
        then = datetime(2031, 1, 15, tzinfo=UTC)
        users = get_user_model()
        users.objects.bulk_create(users(id=account, username=f"customer {account}") for account in quotas)
        Subscription.objects.bulk_create(
            Subscription(
                account_id=account, plan=self._plan, anchor=then, created_at=then, changed_at=then, period_ends_at=then
            )
            for account in quotas
        )
        LimitOverride.objects.bulk_create(
            LimitOverride(account_id=account, limit="quota", maximum=maximum) for account, maximum in quotas.items()
        )

    def end_faults(self) -> None:
        self.server.faults = frozenset()
        self.server.cut_off, self.server.hangs = set(), False
        self.faults.begin(Random(0), False)
        self.hangs.end()
        for process in self.processes:
            process.faults_are_over = True

    # The processes

    def _live(self, process: Process) -> None:
        truth = self.truth
        watch_connection(
            process, self.faults, self.hangs, self.observer, truth.executed, self._committed, truth.commit_given_up
        )
        for task in process.tasks():
            process.run(task)
            if process.dead:
                forget_connection()
        forget_connection()

    def _ran(self, ran: Ran) -> None:
        self.truth.ran(ran)

    def _committed(self, process: Process) -> None:
        self.truth.committed(process)
        if process in self.editing:
            self.truth.quota_committed(self.editing[process])

    def process(self, name: str) -> Process:
        return next(process for process in self.processes if process.name == name)

    def in_state(self, state: State) -> list[Process]:
        return [process for process in self.processes if process.state is state]

    def busy(self) -> bool:
        return any(process.state is not State.IDLE for process in self.processes)

    def asking_redis(self, besides: Process) -> set[str]:
        """Those whose circuit is closed, or of which another thread may have set out before it opened."""
        others = [process for process in self.processes if process.name.startswith("web") and process is not besides]
        busy = {process.name for process in others if process.state is not State.IDLE}
        return busy | {
            process.name for process in others if process.name != besides.name and not process.memory.circuit_is_open
        }

    def kill(self, name: str) -> None:
        """All its threads; it starts again, knowing nothing."""
        for process in self.processes:
            if process.name == name:
                self.schedule.kill(process)
        self.process(name).memory.forget()
        self.ways[name].forget()
        self.hangs.forget(name)
        self.truth.started(name)

    def is_calling_under_a_key(self) -> bool:
        """Whether a request is in flight that must not be taken for one whose end nobody knows."""
        return any(call.key for process, call in self.calling.items() if process.state is not State.IDLE)

    def raise_errors(self) -> None:
        for process in self.processes:
            if process.error is not None:
                error, process.error = process.error, None
                raise error

    def note(self, what: str) -> None:
        self.schedule.note(None, what)

    def minted(self, event: str) -> None:
        self.truth.minted.add(event)
        process = here()
        if process is not None and process in self.calling:
            self.calling[process].minted.append(event)

    def unsettled(self, charge: str) -> None:
        if process := here():
            self.truth.unsettled(process, charge)

    def moved(self, events: Sequence[Event]) -> None:
        if process := here():
            self.truth.moved(process, events)

    def close(self) -> None:
        for process in self.processes:
            with suppress(Exception):
                process.end()
        self.observer.close()


@contextmanager
def simulated_world() -> Iterator[World]:
    """On the database and the Redis that the settings name; the default catalogue has to be there."""
    with ExitStack() as stack:
        stack.enter_context(override_settings(RATELIMIT_SHARDS=2, RATELIMIT_CLOCK="process", REDIS_PROBE_MS=0))
        own = ratelimit.servers.single.SingleServer(settings.REDIS_URL, 10.0)
        world = World()
        stack.callback(world.close)
        told = world.minted, world.unsettled, world.moved, world.truth.runs_again
        stack.enter_context(seeded(world.clock, world.chance, *told))
        stack.enter_context(_cached(ratelimit.store.store, WayOfTheProcess(world.ways, own)))
        client = Client.from_url(settings.REDIS_URL)
        client.ways = world.ways
        stack.enter_context(mock.patch.object(drain, "client", lambda: client))
        stack.enter_context(_noting_logs(world.schedule))
        yield world
        world.schedule.put_in_memory(None)


class _Notes(logging.Handler):
    """Among the steps of a history what production says of them: why something is left to the next time."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def emit(self, record: logging.LogRecord) -> None:
        self._schedule.note(here(), f"says {record.getMessage()}")


@contextmanager
def _noting_logs(schedule: Schedule) -> Iterator[None]:
    notes = _Notes(schedule)
    loggers = [logging.getLogger(name) for name in ("billing", "ratelimit", "usage")]
    for logger in loggers:
        logger.addHandler(notes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(notes)


@contextmanager
def _cached(function: Callable[[], Any], value: object) -> Iterator[None]:
    """Have a cached function of no arguments return another value."""
    function.cache_clear()  # type: ignore[attr-defined]
    with mock.patch("ratelimit.store.SingleServer", lambda *_: value):
        assert function() is value, "the processes would reach Redis past their faults"
    try:
        yield
    finally:
        function.cache_clear()  # type: ignore[attr-defined]
