"""Simulated processes, one running at a time: each pauses between any two steps until the schedule lets it go on.

A process is a thread, because production code cannot be paused in any other way. It waits at `pause` for its turn; a
process that PostgreSQL keeps waiting for a lock gives its turn back, and takes its next step only in a later turn.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Protocol

STUCK_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.004


class Killed(BaseException):
    """The process has been killed: what unwinds from here on reaches no engine any more."""


class Stuck(Exception):
    """No process can go on: a deadlock, or a step that never ends."""


class State(Enum):
    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    BLOCKED = "blocked"  # by a lock in PostgreSQL


class Memory(Protocol):
    """What a process holds in memory, put in place whenever its turn comes."""

    def enter(self) -> None: ...
    def leave(self) -> None: ...


class Process:
    """A thread that runs one task at a time. Those of one `name` are one process: one memory, and one death."""

    def __init__(
        self, name: str, thread: int, schedule: Schedule, memory: Memory, live: Callable[[Process], None]
    ) -> None:
        self.name = name
        self.label = name if thread == 0 else f"{name}'"
        self.memory = memory
        self.state = State.IDLE
        self.task: Callable[[], None] | None = None
        self.at = ""
        self.steps_left = 0
        self.doomed = False
        self.dead = False
        self.backend: int | None = None
        self.error: BaseException | None = None
        self.faults_are_over = False
        self._schedule = schedule
        # Locks that are taken to begin with: cheaper than semaphores, and each is released once a turn.
        self._go, self.arrived, self._changing_state = threading.Lock(), threading.Lock(), threading.Lock()
        self._go.acquire()
        self.arrived.acquire()
        self._thread = threading.Thread(target=self._live, args=[live], name=self.label, daemon=True)
        self._thread.start()

    def _live(self, live: Callable[[Process], None]) -> None:
        _here.process = self
        try:
            live(self)
        finally:
            self.arrived.release()

    def tasks(self) -> Iterator[Callable[[], None]]:
        """Whatever it is given to do, until it is given nothing."""
        while True:
            self._go.acquire()
            if self.task is None:
                return
            yield self.task
            self.task, self.dead, self.doomed = None, False, False
            self._arrive(State.IDLE, "")

    def run(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Killed:
            pass
        except BaseException as error:
            # What an engine answers to a dead process' last words is no finding.
            self.error = None if self.dead else error

    def end(self) -> None:
        self.task = None
        self._go.release()
        self._thread.join()

    def resume(self) -> None:
        self.state = State.RUNNING
        self._go.release()

    def pause(self, at: str, *, at_once: bool = False) -> None:
        """Let others go on before the step named `at`, unless this turn has steps left. Raises Killed."""
        if self.dead:
            raise Killed
        if self.state is not State.BLOCKED and self.steps_left > 0 and not at_once:
            self.steps_left -= 1
            self._schedule.note(self, at)
            return
        self._arrive(State.PAUSED, at)
        self._go.acquire()
        if self.doomed:
            self._schedule.note(self, "killed before " + at)
            self.die()
        self._schedule.note(self, at)

    def _arrive(self, state: State, at: str) -> None:
        with self._changing_state:
            self.state, self.at = state, at
        self.arrived.release()

    def found_blocked(self) -> bool:
        """Mark it, unless it has got its lock and come to its next pause in the meantime."""
        with self._changing_state:
            if self.state is State.RUNNING:
                self.state = State.BLOCKED
        return self.state is State.BLOCKED

    def die(self) -> None:
        self.dead = True
        self._schedule.on_death(self)
        raise Killed

    def give_turn_back_if_blocked(self, at: str) -> None:
        """After a statement that had to wait for a lock: others have gone on meanwhile, and it is their turn."""
        if self.state is State.BLOCKED:
            self.pause(at)


class Schedule:
    """Hands the turn to one process at a time. Its own thread is the simulator's."""

    def __init__(self, blockers: Callable[[int], list[int]], on_death: Callable[[Process], None]) -> None:
        self._blockers = blockers
        self.on_death = on_death
        self.trace: list[str] = []
        self.blocked: list[Process] = []
        self._in_memory: Memory | None = None

    def note(self, process: Process | None, what: str) -> None:
        self.trace.append(f"{process.label if process else '*'}: {what}")

    def turn(self, process: Process, steps: int) -> None:
        """Let the process take this many steps. Returns when nobody can go on by itself any more."""
        self.put_in_memory(process.memory)
        process.steps_left = steps
        process.resume()
        self._await(process)
        self.look_at_blocked()

    def look_at_blocked(self) -> None:
        """Whoever has got its lock goes on to its next pause."""
        for waiting in list(self.blocked):
            self._await_blocked(waiting)

    def start(self, process: Process, task: Callable[[], None], steps: int) -> None:
        process.task = task
        self.turn(process, steps)

    def finish(self, process: Process, task: Callable[[], None], steps: int) -> None:
        """Let it do the task to its end, while nobody else does anything."""
        self.start(process, task, steps)
        waited = 0.0
        while process.state is not State.IDLE:
            if process.state is not State.BLOCKED:
                self.turn(process, steps)
            elif process.arrived.acquire(timeout=LOOK_AGAIN_SECONDS):
                self.blocked.remove(process)  # by PostgreSQL's own work, or by a connection that is ending
            elif (waited := waited + LOOK_AGAIN_SECONDS) > STUCK_SECONDS:
                raise Stuck(f"{process.label}, which is blocked and nobody goes on")

    def kill(self, process: Process) -> None:
        """Where it stands paused. A statement that waits for a lock is still run by PostgreSQL."""
        if process.state is State.BLOCKED:
            process.dead = True
        elif process.state is State.PAUSED:
            process.doomed = True
            self.turn(process, 0)

    def put_in_memory(self, memory: Memory | None) -> None:
        if self._in_memory is not memory:
            if self._in_memory is not None:
                self._in_memory.leave()
            if memory is not None:
                memory.enter()
            self._in_memory = memory

    def _await(self, process: Process) -> None:
        waited = 0.0
        while not process.arrived.acquire(timeout=LOOK_AGAIN_SECONDS):
            waited += LOOK_AGAIN_SECONDS
            if process.backend and self._blockers(process.backend) and process.found_blocked():
                self.blocked.append(process)
                self.note(process, "waits for a lock")
                self._look_for_deadlock(process)
                return
            if waited > STUCK_SECONDS:
                raise Stuck(f"{process.label} at {process.at!r}")

    def _await_blocked(self, process: Process) -> None:
        waited = 0.0
        while not process.arrived.acquire(blocking=False):
            if process.backend and self._blockers(process.backend):
                return
            if process.arrived.acquire(timeout=LOOK_AGAIN_SECONDS):
                break
            waited += LOOK_AGAIN_SECONDS
            if waited > STUCK_SECONDS:
                raise Stuck(f"{process.label}, which was blocked at {process.at!r}")
        self.blocked.remove(process)

    def _look_for_deadlock(self, process: Process) -> None:
        """PostgreSQL would end one of them, after a second in which all wait."""
        waits_for = {waiting.backend: self._blockers(waiting.backend or 0) for waiting in self.blocked}
        reached, new = set[int](), set(waits_for[process.backend])
        while new:
            reached |= new
            new = {blocker for backend in new for blocker in waits_for.get(backend, [])} - reached
        if process.backend in reached:
            raise Stuck(f"a deadlock: {[f'{waiting.label} at {waiting.at}' for waiting in self.blocked]}")


class TurnLock:
    """Stands in for a thread's lock: who finds it held gives the turn back, so that its holder can go on."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As a thread's lock does; a timeout above zero is long enough."""
        while self._held:
            process = here()
            if not blocking or timeout == 0 or process is None:
                return False
            process.pause("waits for a thread", at_once=True)
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


_here = threading.local()


def here() -> Process | None:
    """The simulated process that this thread is; None for the simulator's own."""
    return getattr(_here, "process", None)


def describe(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
