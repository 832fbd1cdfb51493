"""What really happened, as nobody but the simulator sees it; each step of it is held to the laws of admissions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ratelimit.keys import shard_of, stream
from ratelimit.limits import Outcome
from tests.programs.simulator import admission_laws
from tests.programs.simulator.database_faults import Observer
from tests.programs.simulator.redis_faults import Ran, Server
from tests.programs.simulator.schedule import Process
from tests.programs.simulator.standings import Call, Quota, Standing, Untold
from usage.ingest import received
from usage.ingest.reported import Name, Reported
from usage.log.batch import decode
from usage.log.events import ADJUSTMENTS, CHARGE, Event, adjustment_of
from usage.metering import fallback_charge


class Truth:
    def __init__(self, server: Server, observer: Observer, everybody: Iterable[str]) -> None:
        self.server = server
        self.observer = observer
        self._everybody = frozenset(everybody)
        self.begin({}, lambda _: set())

    def begin(self, quotas: dict[int, int], asking_redis: Callable[[Process], set[str]]) -> None:
        """`asking_redis` gives the processes that may still ask Redis while this one does not."""
        self.quotas = {account: Quota([(0, maximum)]) for account, maximum in quotas.items()}
        self.calls: list[Call] = []
        self.minted: set[str] = set()
        self.lost: set[str] = set()
        self.losses = 0
        self.admissions = 0
        self.broken: list[str] = []
        self.unpublished: dict[str, Untold] = {}
        self.unseen: set[str] = set()
        """Charges that another one under their key was made without knowing of, by the side that could not."""
        self.given_back_unseen: set[str] = set()
        """Charges whose request PostgreSQL lets run again, while their void waits in Redis' stream."""
        self._asking_redis = asking_redis
        self._inserted: dict[Process, Event] = {}
        self._moved: dict[Process, list[Sequence[Event]]] = {}
        self.settling: dict[str, set[str]] = defaultdict(set)
        """Charges that each process has in memory, whose end neither engine could be told."""
        self.given_up: set[str] = set()
        """Those that went with their process."""
        self.reported: dict[Name, Reported] = {}
        self.answered: set[Name] = set()
        """Of those that were reported, which their senders were told of."""
        self._reporting: dict[Process, list[str]] = {}

    # What Redis did

    def ran(self, ran: Ran) -> None:
        arguments = ran.command.arguments
        if ran.script == "admit" and (judged := _judged(ran.reply)) and arguments[4]:
            outcome, used = judged
            event = decode(_bytes(arguments[4]))
            if not (event.metadata or {}).get("parent"):  # a child is of its parent's window, which is not judged here
                admission_laws.check_judged(self, event.account, event.window_start, used, ran.by)
            if outcome == Outcome.REFUSED:
                return
            untold = {
                charged: charge
                for charged, charge in self.unpublished.items()
                # A late one may have set out before its sender knew of an outage.
                if charge.account == event.account and (ran.late or ran.by in charge.beside)
            }
            self._note_unseen(event, untold)
            if ran.late:
                return  # nobody waits for it any more: the quota was judged where its call was decided, without Redis
            overshoot = sum(charge.tokens for charge in untold.values() if charge.window_start == event.window_start)
            admission_laws.check_quota(
                self, event, overshoot, self.quotas[event.account].told_at, f"Redis, asked by {ran.by},"
            )
        elif ran.script in ("prolong", "finish"):
            admission_laws.check_moved(self, ran)
        elif ran.script in ("raise_fences", "announce_fence"):
            for key, version in zip(ran.command.keys, arguments, strict=True):
                self._told(key, int(version))
        elif ran.script == "publish":
            self._told(ran.command.keys[0], int(arguments[0]))

    def _told(self, fence: bytes, version: int) -> None:
        kind, *account = fence.decode().split(":")[1:]
        subject = int(account[0]) if kind == "v" else 0
        if subject in self.quotas:
            self.quotas[subject].told(version)
            for event, charge in list(self.unpublished.items()):
                if charge.account == subject and charge.version <= version:
                    del self.unpublished[event]

    # What PostgreSQL did

    def executed(self, process: Process, sql: str, parameters: Any, rows: int) -> None:
        if sql is received.REMEMBER:
            self._reporting[process] = parameters[-1]
        if sql is fallback_charge.EVENT and rows == 1 and parameters[6]:
            charge = self.call_of(parameters[1])
            starts_at: datetime = parameters[10]
            self._inserted[process] = Event(
                charge=parameters[1],
                kind=CHARGE,
                account=charge.account,
                window_start=int(starts_at.timestamp()),
                window_end=0,
                feature=charge.feature,
                tokens=parameters[6],
                at_ms=0,
            )

    def moved(self, process: Process, events: Sequence[Event]) -> None:
        """What belongs together of a reservation's end, or of its bound, in PostgreSQL alone."""
        self._moved[process] = [*self._moved.get(process, []), events]

    def committed(self, process: Process) -> None:
        self._note_reported(self._reporting.pop(process, []))
        self._note_moved(process, self._moved.pop(process, []))
        event = self._inserted.pop(process, None)
        if event is None:
            return
        standing = self.standing(event.account, event.window_start)
        if standing.logged.get(event.charge) != event.tokens:
            return  # rolled back, and this is another commit, such as that of its refusal
        undrained = sum(max(tokens, 0) for tokens in standing.undrained.values())
        admission_laws.check_quota(
            self, event, undrained, self.call_of(event.charge).quota_then, f"{process.name}, without Redis,"
        )
        self._note_untold(process, event)

    def _note_untold(self, process: Process, event: Event) -> None:
        self._note_unseen(event, (waiting.charge for waiting in self.waiting(event.account)))
        self.unpublished[event.charge] = self._untold(process, event)

    def _note_moved(self, process: Process, moved: Iterable[Sequence[Event]]) -> None:
        """Of what is committed, Redis has still to be told where it makes more used."""
        for events in moved:
            own = [event for event in events if event.kind != CHARGE]  # a charge is of Redis' stream
            tokens = sum(event.tokens for event in own)
            if tokens <= 0:
                continue
            logged = self.standing(own[0].account, own[0].window_start).logged
            if logged.keys() >= {str(event.id) for event in own}:
                self.unpublished[str(own[0].id)] = self._untold(process, own[0]._replace(tokens=tokens))

    def _untold(self, process: Process, event: Event) -> Untold:
        version = self.observer.rows("SELECT version FROM billing_fence WHERE subject = %s", event.account)[0][0]
        return Untold(event.account, event.window_start, event.tokens, version, self._asking_redis(process))

    def _note_reported(self, charges: list[str]) -> None:
        """Redis has still to be told of those that are committed."""
        rows = self.observer.rows(
            "SELECT event_id::text, account_id, extract(epoch FROM window_starts_at)::bigint, tokens, version"
            " FROM usage_usagelog JOIN billing_fence ON subject = account_id WHERE id = ANY(%s::uuid[])",
            charges,
        )
        for charge, account, window, tokens, version in rows if charges else ():
            self.unpublished[charge] = Untold(account, window, tokens, version, set(self._everybody))

    def _note_unseen(self, event: Event, charges: Iterable[str]) -> None:
        """The side that has made this charge could not know of those; of another key it need not."""
        if key := self.call_of(event.charge).key:
            same = {made for call in self.calls if call.key == key for made in call.minted}
            self.unseen |= same.intersection(charges) - {event.charge}

    def runs_again(self, charge: str) -> None:
        if void_id(charge) in {str(event.id) for event in self.waiting(self.call_of(charge).account)}:
            self.given_back_unseen.add(charge)

    def commit_given_up(self, process: Process) -> Callable[[], None]:
        """To be called when it is executed late: nobody was admitted by it, but Redis has to be told of it."""
        event, reported = self._inserted.pop(process, None), self._reporting.pop(process, [])
        moved = self._moved.pop(process, [])

        def executed_late() -> None:
            self._note_reported(reported)
            self._note_moved(process, moved)
            if event is not None:
                self._note_untold(process, event)

        return executed_late

    def call_of(self, event: str) -> Call:
        return next(call for call in reversed(self.calls) if event in call.minted)

    def unsettled(self, process: Process, charge: str) -> None:
        (self.given_up if process.dead else self.settling[process.name]).add(charge)

    def settled(self, process: Process) -> None:
        self.settling[process.name].clear()

    def started(self, name: str) -> None:
        """A process was killed, and another one of its name begins."""
        self.given_up |= self.settling.pop(name, set())
        for charge in self.unpublished.values():
            charge.beside.add(name)

    def quota_committed(self, account: int) -> None:
        ((maximum, version),) = self.observer.rows(
            "SELECT maximum, changed FROM billing_limitoverride JOIN billing_fence ON subject = account_id"
            " WHERE account_id = %s",
            account,
        )
        held = self.quotas[account].held
        if held[-1] != (version, maximum):
            held.append((version, maximum))

    def standing(self, account: int, window_start: int) -> Standing:
        rows = self.observer.rows(
            "SELECT id::text, tokens FROM usage_usagelog WHERE account_id = %s AND window_starts_at = %s",
            account,
            datetime.fromtimestamp(window_start, UTC),
        )
        logged = dict(rows)
        undrained = {
            str(event.id): event.tokens
            for event in _with_charges(self.waiting(account))
            if event.window_start == window_start and str(event.id) not in logged
        }
        return Standing(logged, undrained)

    def waiting(self, account: int) -> list[Event]:
        """Of the account, in the stream of its shard."""
        found = (decode(entry) for entry in self.server.entries(stream(shard_of(account))))
        return [event for event in found if event.account == account]

    # Losses

    def lose(self, loss: Any) -> None:
        """Run a loss of Redis' data, and remember which events went with it."""
        shards = sorted({shard_of(account) for account in self.quotas})
        before = self._streams(shards)
        loss()
        self.losses += 1
        for quota in self.quotas.values():
            quota.told_at = 0  # whoever tells it again has read what it tells a moment before
        self.lost |= before - self._streams(shards)

    def _streams(self, shards: Iterable[int]) -> set[str]:
        found = (decode(entry) for shard in shards for entry in self.server.entries(stream(shard)))
        return {str(event.id) for event in _with_charges(found)}


def _with_charges(waiting: Iterable[Event]) -> Iterable[Event]:
    for event in waiting:
        if event.kind in ADJUSTMENTS:
            yield event.charged()
        yield event


def void_id(charge: str) -> str:
    return str(adjustment_of(UUID(charge)))


def _judged(reply: Any) -> tuple[int, int] | None:
    """The outcome, and the quota's use as Redis judged by it; None where facts, clock or an Idempotency-Key decided."""
    if not isinstance(reply, bytes):
        return None
    return reply[0], int.from_bytes(reply[-8:], "big", signed=True)


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
