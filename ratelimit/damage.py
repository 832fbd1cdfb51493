"""Keys of Redis that somebody has overwritten, so that they hold what no script has written: told, found, removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ratelimit import process_state, scripts
from ratelimit.servers.single import Command, Store

logger = logging.getLogger(__name__)
TOLD_AGAIN_AFTER_SECONDS = 60.0
MOST_TOLD = 10_000
_told_at: dict[str, float] = process_state.remember(__name__, "_told_at", dict)


def tell(whose: str, so: str, reason: object) -> None:
    """Write to the log whose keys are damaged and what is done meanwhile; once a minute, however often it is met."""
    now = time.monotonic()
    if now < _told_at.get(whose, -TOLD_AGAIN_AFTER_SECONDS) + TOLD_AGAIN_AFTER_SECONDS:
        return
    if len(_told_at) >= MOST_TOLD:
        _told_at.clear()
    _told_at[whose] = now
    logger.error(
        "Redis holds something else where %s should be (%s): %s; manage.py reconcile_usage --repair mends it",
        whose,
        str(reason).partition(" script: ")[0],
        so,
    )


def find(store: Store, *of_shards: Sequence[bytes]) -> dict[bytes, str]:
    """The damaged ones of some shards' keys, each with its type in Redis. Raises RedisUnreachable."""
    replies = store.run_all([Command(scripts.DAMAGED, keys, [b""]) for keys in of_shards])
    return {key: kind.decode() for found in replies for key, kind in zip(found[::2], found[1::2], strict=True)}


def remove(store: Store, keys: Sequence[bytes]) -> bool:
    """Remove all of these keys of one shard, if any of them is damaged. Raises RedisUnreachable."""
    return bool(store.run(Command(scripts.DAMAGED, keys, [b"1"])))
