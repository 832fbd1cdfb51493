"""Budgets of a key and of a run: what a call is judged by beside its account's limits, counted and given back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db.models import Sum

from billing.entitlements.callers import Caller
from billing.entitlements.snapshots import Snapshot
from billing.rules.instants import from_ms, to_ms
from billing.rules.tokens.budgets import NONE, day_of, key_limits, month_of, run_limits
from ratelimit import budgets
from ratelimit.budgets import COUNTED, Asked
from ratelimit.in_process import InProcessWindows, share_of
from ratelimit.keys import AccountKeys, key_digest, keys_of
from ratelimit.limits import BudgetStanding, Limit, Part, Standing
from ratelimit.store import store
from usage.drain import drain
from usage.log.batch import DAY_MS
from usage.log.events import RESERVE, RUN_NAMED, Event
from usage.models import UsageLog

OF_TOKENS = frozenset({Part.DAY, Part.MONTH, Part.RUN_TOKENS})
minutes: InProcessWindows[tuple[int, str]] = InProcessWindows(settings.SNAPSHOT_CACHE_SIZE)
"""Of keys, while Redis is out of reach."""


class Bounds(NamedTuple):
    """What all calls of one key are judged by while its account's snapshot holds, and its day in UTC has not ended."""

    account: int
    prefix: str
    key: Mapping[Part, Limit]
    run: Mapping[Part, Limit]
    from_ms: int
    until_ms: int

    def hold(self, now_ms: int) -> bool:
        return self.from_ms <= now_ms < self.until_ms

    def of_tokens(self, *, of_run: bool) -> list[int | None]:
        """At most so many a day, a month, and in a run; None: there is no such budget."""
        limits = (self.key.get(Part.DAY), self.key.get(Part.MONTH), self.run.get(Part.RUN_TOKENS) if of_run else None)
        return [None if limit is None else limit.maximum for limit in limits]


def bounds_of(snapshot: Snapshot, caller: Caller, now_ms: int) -> Bounds | None:
    """None for a key without any budget, and without a key."""
    if caller.identity is None or not caller.identity.prefix:
        return None
    terms = snapshot.entitlement.plan.key_budgets.smaller(caller.identity.budgets)
    if terms is NONE:
        return None
    now = from_ms(now_ms)
    day, key = day_of(now), key_limits(terms, now)
    return Bounds(caller.account, caller.key_prefix, key, run_limits(terms), to_ms(day.start), to_ms(day.end))


def ask(
    bounds: Bounds, keys: AccountKeys, run: str, opens: int, feature: str, body_of: Callable[[], bytes] | None
) -> Asked | None:
    """What one call is judged by; `run` is the run's name. None: by nothing."""
    of_run = bounds.run if run else {}
    if not bounds.key and not of_run:
        return None
    guarded = Part.REPEATS in of_run and body_of is not None
    request = hashlib.blake2s(feature.encode() + b"\0" + body_of(), digest_size=16) if guarded and body_of else None
    return budgets.ask(
        keys,
        bounds.prefix,
        {**bounds.key, **of_run},
        run=key_digest(run) if of_run else "",
        opens=opens,
        request=request.digest() if request else b"",
    )


def count_anew(account: int, prefix: str, asked: Asked, version: bytes) -> None:
    """Count what the key has used from the log, where Redis does not know it at this version of the account.

    Raises drain.Behind, RedisUnreachable, redis' ResponseError, or django's OperationalError.
    """
    of_tokens = [(part, limit) for part, limit in asked.bounds if part in COUNTED]
    claims = [(budgets.claim(store(), asked, part, limit, version), part, limit) for part, limit in of_tokens]
    drain.catch_up_by_redis(account)
    for claimed, part, limit in claims:
        if claimed:
            used = used_by_key(account, prefix, limit)
            budgets.store_count(store(), asked, part, limit, claimed, used, version)


def used_by_key(account: int, prefix: str, window: Limit) -> int:
    """Tokens that the log has of the key's calls in that window, what was given back taken off."""
    rows = UsageLog.objects.filter(
        account=account,
        key_prefix=prefix,
        charged_at__gte=from_ms(window.starts_at_ms or 0),
        charged_at__lt=from_ms(window.ends_at_ms),
    )
    return max(rows.aggregate(tokens=Sum("tokens"))["tokens"] or 0, 0)


def back_to(event: Event) -> tuple[bytes, bytes, bytes]:
    """Where in Redis tokens of a charge go back to, beside its quota; of a session's charge nothing is there."""
    run = (event.metadata or {}).get("run" if event.source == RESERVE else RUN_NAMED, "")
    day_ms = event.charged_at_ms // DAY_MS * DAY_MS
    return budgets.given_back_to(
        keys_of(event.account), event.key_prefix, key_digest(run) if run else "", day_ms, _month_of_day(day_ms)
    )


@lru_cache(1_000)
def _month_of_day(day_ms: int) -> int:
    return to_ms(month_of(from_ms(day_ms)).start)


def after_void(standings: tuple[BudgetStanding, ...], tokens: int) -> tuple[BudgetStanding, ...]:
    """How budgets stand after a charge of so many tokens was given back."""
    return tuple(
        budget._replace(standing=budget.standing._replace(used=max(budget.standing.used - tokens, 0)))
        if budget.part in OF_TOKENS
        else budget
        for budget in standings
    )


def take_minute(bounds: Bounds, now_ms: int) -> tuple[bool, int | None]:
    """Without Redis: whether the key's share of its minute has room, and the stamp to give it back by."""
    limit = bounds.key.get(Part.MINUTE)
    if limit is None:
        return True, None
    stamp = minutes.take((bounds.account, bounds.prefix), limit, _share(limit), now_ms)
    return stamp is not None, stamp


def give_minute_back(bounds: Bounds, stamp: int | None) -> None:
    if stamp is not None:
        minutes.give_back((bounds.account, bounds.prefix), stamp)


def have_room(bounds: Bounds) -> bool:
    """Without Redis, after a call was written to the log: whether its key had that much left.

    The caller's transaction holds the counter of the account's window. Budgets of runs are not judged without Redis.
    """
    return all(
        used_by_key(bounds.account, bounds.prefix, limit) <= (limit.maximum or 0)
        for part, limit in bounds.key.items()
        if part in COUNTED
    )


def standings_without_redis(
    bounds: Bounds, cost: int, now_ms: int, refused: frozenset[Part]
) -> tuple[BudgetStanding, ...]:
    """How the key's budgets stand. `refused`: parts that have refused the call; tokens say it themselves."""
    standings = []
    for part, limit in bounds.key.items():
        if part is Part.MINUTE:
            standing = minutes.standing((bounds.account, bounds.prefix), limit, _share(limit), now_ms)
            standings.append(BudgetStanding(part, standing, part in refused))
        else:
            used = used_by_key(bounds.account, bounds.prefix, limit)
            standing = Standing(limit, used, max(limit.ends_at_ms - now_ms, 0))
            standings.append(BudgetStanding(part, standing, Part.DAY in refused and not standing.admits(cost)))
    return tuple(standings)


def _share(limit: Limit) -> int:
    assert limit.maximum is not None
    return share_of(limit.maximum, settings.WEB_PROCESSES)
