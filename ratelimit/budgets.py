"""What one API key and one run may use, beside the limits of their account: as the scripts judge and count it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from ratelimit import scripts
from ratelimit.keys import AccountKeys
from ratelimit.limits import RUN_LIFE_MS, BudgetStanding, Limit, Part, Standing
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS, UNLIMITED
from ratelimit.servers.single import Command, Store
from ratelimit.servers.wire import Argument

COUNTED = {Part.DAY: "d", Part.MONTH: "m"}
"""Parts that the log is counted for, each with what names its window in Redis."""
_rows = Struct(">14Q").pack
_state = Struct(">B8q")
STATE_SIZE = _state.size


class Asked(NamedTuple):
    """What is judged beside the limits of the account: the script's five keys, its word, and the bounds in it."""

    keys: tuple[bytes, ...]
    word: bytes
    bounds: tuple[tuple[Part, Limit], ...]


def ask(
    keys: AccountKeys,
    prefix: str,
    bounds: Mapping[Part, Limit],
    *,
    run: str = "",
    opens: int = 0,
    request: bytes = b"",
) -> Asked:
    """`bounds` of the key named by `prefix`, and of the run of that digest, "" for none.

    `opens`: how many reservations the call opens. `request`: 16 bytes that name what is asked, for Part.REPEATS.
    """
    names = [keys.fence] * 5
    rows = [UNLIMITED, 0] * 7
    for part, limit in bounds.items():
        assert limit.maximum is not None
        rows[2 * part] = limit.maximum
        if part is Part.MINUTE:
            names[0], names[1] = keys.of_key(prefix)
            rows[1] = limit.window_ms
        elif window := COUNTED.get(part):
            names[1 + part] = keys.key_budget(prefix, window, limit.starts_at_ms or 0)
            rows[2 * part + 1] = limit.ends_at_ms + KEPT_AFTER_WINDOW_MS
    if run:
        names[4] = keys.run(run)
        rows[2 * Part.RUN_TOKENS + 1] = RUN_LIFE_MS
        rows[2 * Part.RUN_OPEN + 1] = opens
    return Asked(tuple(names), _rows(*rows) + request, tuple(bounds.items()))


def read(asked: Asked, state: bytes, now_ms: int) -> tuple[BudgetStanding, ...]:
    """The end of the script's reply."""
    refusing, ring, wait_ms, *used = _state.unpack(state)
    standings = []
    for part, limit in asked.bounds:
        if part is Part.MINUTE:
            standing = Standing(limit, ring, wait_ms if wait_ms >= 0 else None)
        elif part in COUNTED:
            standing = Standing(limit, used[part - 1], max(limit.ends_at_ms - now_ms, 0))
        else:
            standing = Standing(limit, used[part - 1], None)
        standings.append(BudgetStanding(part, standing, bool(refusing >> part & 1)))
    return tuple(standings)


def given_back_to(keys: AccountKeys, prefix: str, run: str, day_ms: int, month_ms: int) -> tuple[bytes, bytes, bytes]:
    """The keys of fragment budgets_back for a charge by the key named by `prefix`; `run` is a digest, "" for none."""
    month = keys.key_budget(prefix, COUNTED[Part.MONTH], month_ms)
    return keys.key_budget(prefix, COUNTED[Part.DAY], day_ms), month, keys.run(run) if run else month + b":"


def claim(store: Store, asked: Asked, part: Part, limit: Limit, version: bytes) -> bytes:
    """Begin to count what is used: read the log after this, and `store_count` then. b"": it is counted already."""
    words: list[Argument] = [uuid.uuid4().hex.encode(), limit.ends_at_ms + KEPT_AFTER_WINDOW_MS, b"", version]
    held: bytes = store.run(Command(scripts.COUNT_ANEW, [asked.keys[1 + part]], words))
    return held


def store_count(
    store: Store, asked: Asked, part: Part, limit: Limit, claimed: bytes, used: int, version: bytes
) -> bool:
    """False when something was given back since the claim, or another has stored it: nothing is changed then."""
    words: list[Argument] = [claimed, limit.ends_at_ms + KEPT_AFTER_WINDOW_MS, used, version]
    return bool(store.run(Command(scripts.COUNT_ANEW, [asked.keys[1 + part]], words)))
