"""Accounts of which Redis holds damaged keys: PostgreSQL decides their calls, while Redis decides everybody else's.

Redis refuses to judge such an account before it has written anything, and every process meets the same keys. So it
takes no outage: what PostgreSQL charges is pushed by the account's fence at once, for the moment the keys are mended.
"""

from __future__ import annotations

import time

from billing.bounded_cache import BoundedCache
from ratelimit import damage, process_state

ASKED_AGAIN_AFTER_SECONDS = 1.0
"""Each call that asked in vain would hold off the drain of its shard, to publish the account."""
MOST = 10_000
_until: BoundedCache[int, float] = process_state.remember(__name__, "_until", lambda: BoundedCache(MOST))


def begin(account: int, reason: Exception) -> None:
    """Do not ask Redis about this account for a while."""
    damage.tell(f"account {account}", "PostgreSQL decides its calls", reason)
    _until.remember(account, time.monotonic() + ASKED_AGAIN_AFTER_SECONDS)


def is_bypassed(account: int) -> bool:
    until = _until.get(account)
    return until is not None and time.monotonic() < until
