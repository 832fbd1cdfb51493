"""Law L1 at every admission, and what Redis judges by and affords: what each answer is held to at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit.reservations import Prolonged
from tests.programs.simulator.redis_faults import Ran
from usage.log.events import Event

if TYPE_CHECKING:
    from tests.programs.simulator.truth import Truth


def check_quota(truth: Truth, event: Event, overshoot: int, since: int, judge: str) -> None:
    if not event.tokens:
        return
    truth.admissions += 1
    standing = truth.standing(event.account, event.window_start)
    # A void recorded without Redis, which executed it late as well, lowers what is judged until it is drained.
    overshoot += sum(max(-it.tokens, 0) for it in truth.waiting(event.account) if str(it.id) in standing.logged)
    # The void of a charge that was lost brings it along, and lowers what is judged until both are drained.
    overshoot += sum(max(tokens, 0) for lost, tokens in standing.undrained.items() if lost in truth.lost)
    largest = truth.quotas[event.account].largest(since)
    if standing.used > largest + overshoot:
        truth.broken.append(
            f"L1: {judge} admitted {event.tokens} to account {event.account}, which makes {standing.used} used of"
            f" {largest}, and {overshoot} may be over: {standing}"
        )


def check_judged(truth: Truth, account: int, window: int, judged: int, by: str) -> None:
    """As long as nothing was lost and nothing decided elsewhere, what Redis judges by is what was really used.

    A drain that died before it acknowledged may have it judge by more, until the next one; never by less. So may
    usage that was reported: its counter is newer than what waits for the drain, of which voids make no room then.
    """
    standing, waiting = truth.standing(account, window), truth.waiting(account)
    committed = any(str(entry.id) in standing.logged for entry in waiting)
    over = sum(abs(entry.tokens) if committed else max(-entry.tokens, 0) for entry in waiting)
    untold = sum(
        charge.tokens
        for charge in truth.unpublished.values()
        if (charge.account, charge.window_start) == (account, window)
    )
    is_near = standing.used - untold <= judged <= standing.used + over
    exact = truth.losses or truth.server.was_out_of_reach or is_near
    if not exact:
        truth.broken.append(
            f"L2: Redis, asked by {by}, judged by {judged} of account {account}: {standing}, {over} over"
        )


def check_moved(truth: Truth, ran: Ran) -> None:
    """A reservation is judged by what was really used, above its bound as well; what it is told is affordable.

    As long as nothing was lost, and nothing decided elsewhere.
    """
    if truth.losses or truth.server.was_out_of_reach or not isinstance(ran.reply, list):
        return
    status, bound, _, used, lacking, *_ = ran.reply
    account, window = map(int, ran.command.keys[3].decode().split(":")[2:])
    check_judged(truth, account, window, used, ran.by)
    if status == Prolonged.OK and used > (most := truth.quotas[account].largest(0)):
        truth.broken.append(f"L1: {ran.script} of {ran.by} makes {used} used of {most}: {ran.reply}")
    if ran.script == "prolong" and status == Prolonged.REFUSED and len(ran.command.keys) == 8:
        _, _, tokens, _, maximum, *_ = ran.command.arguments
        fits, room = int(tokens) - lacking, max(int(maximum) - used, 0)
        if fits != bound + room:
            truth.broken.append(f"R3: {fits} are affordable of {bound} and {room} more: {ran.reply}")
