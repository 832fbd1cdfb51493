"""One history: a few accounts, several processes, faults, all in an order that one seed decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from django.conf import settings

from tests.programs.simulator import laws, operations, reporting, reservation_laws, reserving
from tests.programs.simulator.schedule import Process, State, describe
from tests.programs.simulator.standings import Call
from tests.programs.simulator.world import World

LOSSES, HANGS = ("flush", "failover"), ("PostgreSQL hangs", "Redis hangs", "both hang")
FAULTS = ("kill", "refused", "late", "reply lost", *LOSSES, "partition", "outage", "edit", "database", *HANGS)
FEATURES = {"trace_start": 10, "trace_expand": 5, "risk_score": 2}
QUOTAS = (0, 9, 20, 20, 30, 45, 60)
MONTH_END_MS = int(datetime(2031, 4, 1, tzinfo=UTC).timestamp()) * 1000
LONGEST_REQUEST_MS = settings.LONGEST_REQUEST_SECONDS * 1000
LOST_AFTER_MS = 2 * 3600 * 1000
"""By then whatever is open is due, also what Redis does not know of."""
STEPS_A_TURN = (0, 0, 1, 2, 4, 8, 20)


class Failed(Exception):
    """The history breaks a law, or production code raised what it should not."""


@dataclass
class Outcome:
    operations: int
    steps: int
    admissions: int


class History:
    """Told by its seed alone."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.operations_left = self.operations = self.random.randint(4, 40)
        self.faults = frozenset(fault for fault in FAULTS if self.random.random() < 0.3)
        self.reserves = self.random.random() < 0.5
        self.reports = not self.reserves and Random(f"reports {seed}").random() < 0.5
        if self.reserves:  # they have more to look after at the end, and are to take no longer
            self.operations_left = self.operations = max(self.operations * 3 // 4, 4)

    def run(self) -> Outcome:
        """Raises Failed."""
        world, random = self.world, self.random
        quotas = {world.next_account + i: random.choice(QUOTAS) for i in range(random.randint(1, 4))}
        start_ms = MONTH_END_MS - random.choice((random.randint(1, 5_000), 10**9))
        world.begin(random, self.faults, quotas, start_ms)
        try:
            while self.operations_left or world.busy():
                self._turn()
            self.recover()
        except Exception as error:
            raise Failed(describe(error)) from error
        found = laws.broken(world.truth, world.clock.now())
        if self.reserves:
            found += reservation_laws.broken(world.truth, world.clock.now())
        found += reporting.broken(world.truth)
        if found:
            raise Failed("\n".join(found))
        return Outcome(self.operations, len(world.schedule.trace), world.truth.admissions)

    def _turn(self) -> None:
        world, random = self.world, self.random
        world.clock.now_ms += random.choice((0, 0, 1, 7, 90))
        if random.random() < 0.02 and not world.is_calling_under_a_key():
            world.clock.now_ms += LONGEST_REQUEST_MS
        if random.random() < 0.04:
            self._fault()
        paused, idle = world.in_state(State.PAUSED), world.in_state(State.IDLE)
        if self.operations_left and idle and (not paused or random.random() < 0.4):
            self.operations_left -= 1
            self._start(random.choice(idle))
        elif paused:
            process = random.choice(paused)
            if "kill" in self.faults and random.random() < 0.02:
                world.kill(process.name)
            else:
                world.schedule.turn(process, random.choice(STEPS_A_TURN))
        world.raise_errors()

    def _start(self, process: Process) -> None:
        world, random = self.world, self.random
        kind = process.name.split()[0]
        if kind == "web":
            task = self._web_task(process)
        elif kind == "drain":
            shards = random.choice([world.shards, *([shard] for shard in world.shards)])
            task = lambda: operations.drain(process, shards)  # noqa: E731
        elif "edit" in self.faults and random.random() < 0.4:
            account, maximum = random.choice(sorted(world.truth.quotas)), random.choice(QUOTAS)
            world.editing[process] = account
            task = lambda: operations.change_quota(process, account, maximum)  # noqa: E731
        elif random.random() < 0.1:
            task = lambda: operations.rebuild_redis(process, world.clock)  # noqa: E731
        elif random.random() < 0.3:
            task = lambda: operations.void_second_charges(process, world.clock)  # noqa: E731
        elif self.reserves and random.random() < 0.5:
            task = lambda: reserving.expire_due(process, world.clock)  # noqa: E731
        else:
            task = lambda: operations.sweep(process)  # noqa: E731
        world.schedule.start(process, task, random.choice(STEPS_A_TURN))

    def _web_task(self, process: Process):  # type: ignore[no-untyped-def]
        world, random = self.world, self.random
        if (process.memory.circuit_is_open or world.truth.settling[process.name]) and random.random() < 0.3:
            return lambda: operations.recover(process, world.truth)
        calls = world.truth.calls
        tracked = [call for call in calls if call.tracked and call.answer == "served" and call.void != "done"]
        if tracked and random.random() < 0.2:
            again = random.choice(tracked)
            return lambda: operations.take_back(process, world.clock, again)
        if self.reserves and random.random() < 0.8:
            return self._reservation_task(process)
        if self.reports and random.random() < 0.3:
            world.calling.pop(process, None)
            batch = reporting.wanted(random, world.truth, world.clock)
            return lambda: reporting.report(process, world.truth, world.clock, batch)
        key = f"k{random.randint(1, 2)}" if random.random() < 0.25 else ""
        # Under a key the same request nearly always: another one is refused, and nothing else happens to it.
        feature = random.choice(sorted(FEATURES)) if not key or random.random() < 0.2 else "trace_start"
        call = Call(
            account=random.choice(sorted(world.truth.quotas)),
            feature=feature,
            tokens=FEATURES[feature],
            key=key,
            fails=random.random() < 0.25,
            keeps_answer=random.random() < 0.5,
        )
        call.quota_then = len(world.truth.quotas[call.account].held) - 1
        call.tracked = not call.fails and not key and random.random() < 0.3
        world.truth.calls.append(call)
        world.calling[process] = call
        return lambda: operations.call(process, world.truth, call)

    def _reservation_task(self, process: Process):  # type: ignore[no-untyped-def]
        world, random = self.world, self.random
        calls, clock = world.truth.calls, world.clock
        held = [call.holding for call in calls if call.holding and call.holding.id]
        # Without Redis mostly on with what it holds: there the two engines may disagree.
        what = random.uniform(0.3 if process.memory.circuit_is_open and random.random() < 0.7 else 0, 1)
        if not held or what < 0.3:
            account, key = random.choice(sorted(world.truth.quotas)), f"r{random.randint(1, 2)}"
            call = Call(account, reserving.FEATURE, 0, key=key if random.random() < 0.2 else "")
            call.holding = holding = reserving.wanted(random, calls, call)
            call.tokens = 0 if holding.parent else holding.bound
            call.quota_then = len(world.truth.quotas[account].held) - 1
            calls.append(call)
            world.calling[process] = call
            return lambda: reserving.reserve(process, world.truth, clock, call, holding)
        world.calling.pop(process, None)
        holding = random.choice(held[-3:] if random.random() < 0.7 else held)
        tokens = random.randint(0, 15)
        if what < 0.55:
            return lambda: reserving.heartbeat(process, clock, holding, tokens)
        if what < 0.9:
            reported = random.choice((tokens, holding.bound, *holding.said, None))
            return lambda: reserving.settle(process, clock, holding, reported)
        return lambda: reserving.release(process, clock, holding)

    def _fault(self) -> None:
        world, random, server = self.world, self.random, self.world.server
        if server.travelling and not server.hangs and random.random() < 0.5:
            world.note(server.deliver(random.randrange(len(server.travelling))))
            return
        if world.hangs.sent and not world.hangs.goes_on and random.random() < 0.5:
            world.note(world.hangs.arrive(random.randrange(len(world.hangs.sent)), random.random() < 0.5))
            world.schedule.look_at_blocked()
            return
        possible = sorted(self.faults & {*LOSSES, *HANGS, "partition", "outage"})
        kind = random.choice(possible) if possible else ""
        if kind in HANGS:
            self._hang(kind)
        elif kind in LOSSES and not server.hangs and random.random() < 0.4:
            world.note(kind)
            world.truth.lose(server.flush if kind == "flush" else server.replace_by_copy)
        elif kind == "partition":
            name = random.choice(sorted(world.names))
            server.cut_off ^= {name}
            world.note(f"cut off: {sorted(server.cut_off)}")
        elif kind == "outage":
            server.cut_off = set() if server.cut_off else set(world.names)
            world.note(f"cut off: {sorted(server.cut_off)}")

    def _hang(self, kind: str) -> None:
        """An engine hangs, or goes on; of both that hang either may be the first to go on."""
        hangs, server = self.world.hangs, self.world.server
        postgres, redis = kind != "Redis hangs", kind != "PostgreSQL hangs"
        if kind == "both hang" and (hangs.goes_on or server.hangs):
            postgres = hangs.goes_on and (not server.hangs or self.random.random() < 0.5)
            redis = not postgres
        hangs.goes_on ^= postgres
        server.hangs ^= redis
        self.world.note(f"PostgreSQL hangs: {hangs.goes_on}, Redis hangs: {server.hangs}")

    def recover(self) -> None:
        """The faults are over: what still travels arrives or never does, and every process does its duty once more."""
        world, random, server = self.world, self.random, self.world.server
        world.end_faults()
        while server.travelling:
            at = random.randrange(len(server.travelling))
            if random.random() < 0.5:
                world.note(server.deliver(at))
            else:
                del server.travelling[at]
        for process in world.processes:
            if process.name.startswith("web"):
                self._finish(process, lambda process=process: operations.recover(process, world.truth))
        beat, drain = world.process("beat"), world.process("drain 1")
        self._finish(beat, lambda: operations.sweep(beat))
        self._finish(drain, lambda: operations.drain(drain, world.shards))
        if self.reserves:
            world.clock.now_ms += LOST_AFTER_MS
            self._finish(beat, lambda: operations.recover(beat, world.truth))
            for _ in range(reservation_laws.LEVELS):
                self._finish(beat, lambda: reserving.expire_due(beat, world.clock))
                self._finish(drain, lambda: operations.drain(drain, world.shards))
        world.clock.now_ms += LONGEST_REQUEST_MS
        self._finish(beat, lambda: operations.void_second_charges(beat, world.clock))
        self._finish(beat, lambda: operations.rebuild_redis(beat, world.clock))

    def _finish(self, process: Process, task) -> None:  # type: ignore[no-untyped-def]
        self.world.schedule.finish(process, task, 10**6)
        self.world.raise_errors()
