"""Keys of Redis that somebody has overwritten: found by looking at all of them, and put right from PostgreSQL.

Only what PostgreSQL or the stream knows comes back. What stood in an overwritten stream is lost, and so is a minute.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from billing.rules.instants import from_seconds
from ratelimit import damage
from ratelimit.keys import AccountKeys, shard_of, shard_tag, stream
from ratelimit.store import client, reaching_redis, store
from usage.reconciliation import compare, repair
from usage.sync.shard_locks import holding_off_drains

SCANNED_AT_ONCE, LOOKED_AT_TOGETHER = 1_000, 10_000
OURS = re.compile(
    rb"\{s(?P<shard>\d+)\}:(events|catalogue|due|([vmb]|(?P<named>[irn]|k[mb]?)|(?P<quota>q)):(?P<account>\d{1,18})"
    rb"(?(named):[\w:-]+)(?(quota):(?P<window>\d{1,11})))"
)
"""Keys that the scripts use; the markers of voids are good whatever they hold."""


@dataclass(frozen=True, slots=True)
class DamagedKey:
    """`holds` is the type that Redis says it is of.

    `account` is None for a key of a whole shard; `window` is when that of a quota starts, in Unix seconds.
    """

    name: bytes
    holds: str
    shard: int
    account: int | None
    window: int | None

    def __str__(self) -> str:
        return f"Redis' key {self.name.decode()} is damaged: it holds a {self.holds} that no script has written"


def find(account: int | None = None) -> Iterator[DamagedKey]:
    """Raises RedisUnreachable."""
    pattern = "{s*}:*" if account is None else f"{shard_tag(shard_of(account))}:*"
    with reaching_redis():
        names = client().scan_iter(match=pattern, count=SCANNED_AT_ONCE)
        while page := list(islice(names, LOOKED_AT_TOGETHER)):
            yield from _damaged(page, account)


def _damaged(names: Sequence[bytes], account: int | None) -> Iterator[DamagedKey]:
    shards: defaultdict[int, dict[bytes, tuple[int | None, int | None]]] = defaultdict(dict)
    for name in names:
        if ours := OURS.fullmatch(name):
            shard = int(ours["shard"])
            owner, window = (None if number is None else int(number) for number in ours.group("account", "window"))
            # Others lie where they were before RATELIMIT_SHARDS was changed, and nobody reads them.
            if shard == shard_of(owner or shard) and account in (None, owner or account):
                shards[shard][name] = owner, window
    for name, holds in damage.find(store(), *map(list, shards.values())).items():
        yield next(DamagedKey(name, holds, shard, *keys[name]) for shard, keys in shards.items() if name in keys)


def mend(now: datetime, account: int | None = None) -> list[DamagedKey]:
    """Put right what is found; returns that. Safe while serving. Raises RedisUnreachable, django's OperationalError.

    A quota gets PostgreSQL's counter, and what the stream holds as pending, in one step. Anything else is removed
    together with the fence of its account, which is published again before it is judged.
    """
    # Quotas last: one that is corrected brings records along.
    found = sorted(find(account), key=lambda key: key.window is not None)
    for key in found:
        with holding_off_drains([key.shard]):
            if key.account is None:
                _mend_shard(key, now)
            elif key.window is None:
                damage.remove(store(), [key.name, *_beside(key.name, AccountKeys(key.account))])
            else:
                repair.correct_windows(key.shard, [(key.account, from_seconds(key.window))], now)
    return found


def _beside(name: bytes, keys: AccountKeys) -> list[bytes]:
    """What has to go with a key: the fence always, and the two halves of a ring with each other."""
    halves = {keys.ring, keys.ring_body} if name in (keys.ring, keys.ring_body) else set()
    if (of_key := re.fullmatch(rb"(.*):k[mb]:(.*)", name)) is not None:
        halves = {b"%b:%b:%b" % (of_key[1], half, of_key[2]) for half in (b"km", b"kb")}
    return [*(halves - {name}), keys.fence]


def _mend_shard(key: DamagedKey, now: datetime) -> None:
    damage.remove(store(), [key.name])
    if key.name == stream(key.shard).encode():  # what Redis calls pending has gone with it
        windows = [(owner, from_seconds(start)) for owner, start in compare.quotas_in_redis(shard_tag(key.shard))]
        repair.correct_windows(key.shard, windows, now)
