"""A sliding window kept in this process alone: what is left of a limit while Redis is out of reach."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Hashable
from typing import Generic, TypeVar

from ratelimit import process_state
from ratelimit.limits import Limit, Standing

K = TypeVar("K", bound=Hashable)


def share_of(maximum: int, processes: int) -> int:
    """What one of several processes may admit of a limit; at least 1 of a limit that admits anything."""
    return max(maximum // processes, 1) if maximum else 0


class InProcessWindows(Generic[K]):
    """Exact windows of at most `size` accounts, or keys. The oldest is forgotten when there is no more room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._stamps: dict[K, list[int]] = process_state.remember(self, "_stamps", dict)
        self._lock = process_state.remember(self, "_lock", threading.Lock)

    def take(self, account: K, limit: Limit, share: int, now_ms: int) -> int | None:
        """Take one of the account's share: the stamp to give it back by, None when nothing is left."""
        with self._lock:
            stamps = self._present(account, limit, now_ms)
            if len(stamps) >= share:
                return None
            # A clock that stepped back frees none of them early: time stands still until it has caught up.
            stamp = max(now_ms, stamps[-1]) if stamps else now_ms
            stamps.append(stamp)
            if account not in self._stamps:
                while len(self._stamps) >= self._size:
                    del self._stamps[next(iter(self._stamps))]
                self._stamps[account] = stamps
            return stamp

    def give_back(self, account: K, stamp: int) -> None:
        """Undo a `take`: another limit has refused the call."""
        with self._lock:
            stamps = self._stamps.get(account, [])
            if stamp in stamps:
                stamps.remove(stamp)

    def standing(self, account: K, limit: Limit, share: int, now_ms: int) -> Standing:
        """The account's standing as a client reads it: what remains is what remains of the share."""
        assert limit.maximum is not None
        with self._lock:
            stamps = self._present(account, limit, now_ms)
            used = len(stamps)
            if limit.maximum == 0:
                return Standing(limit, 0, None)
            wait_ms = stamps[max(used - share, 0)] + limit.window_ms - now_ms if stamps else 0
        return Standing(limit, limit.maximum - share + used, wait_ms)

    def _present(self, account: K, limit: Limit, now_ms: int) -> list[int]:
        """The stamps that still count, oldest first."""
        stamps = self._stamps.get(account, [])
        del stamps[: bisect_right(stamps, now_ms - limit.window_ms)]
        return stamps
