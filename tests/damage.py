"""Hands that overwrite what Redis holds of an account, or of its shard, with what no script has written there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from billing.entitlements.snapshots import snapshot
from ratelimit.keys import AccountKeys, key_digest
from ratelimit.store import client
from tests.effort import LONG

TYPES: dict[str, Callable[[bytes], Any]] = {
    "string": lambda key: client().set(key, "text"),
    "list": lambda key: client().rpush(key, "text"),
    "hash": lambda key: client().hset(key, "field", "text"),
    "set": lambda key: client().sadd(key, "text"),
    "sorted set": lambda key: client().zadd(key, {"text": 1}),
    "stream": lambda key: client().xadd(key, {"field": "text"}),
}
OWN_TYPE = {
    "fence": "string",
    "catalogue": "string",
    "ring": "string",
    "ring_body": "string",
    "quota": "hash",
    "record": "hash",
    "stream": "stream",
}
"""What each kind of key is; a ring's body and a fence's text are strings, too."""
CONTENTS: dict[tuple[str, str], Callable[[bytes], Any]] = {
    ("fence", "no number"): lambda key: client().set(key, "text"),
    ("fence", "empty"): lambda key: client().set(key, ""),
    ("fence", "beyond all versions"): lambda key: client().set(key, "9" * 15),
    ("catalogue", "no number"): lambda key: client().set(key, "1e3"),
    ("catalogue", "beyond all versions"): lambda key: client().set(key, "9" * 15),
    ("ring", "truncated"): lambda key: client().set(key, client().get(key)[:-1]),
    ("ring", "a truncated header"): lambda key: client().set(key, client().get(key)[:10]),
    ("ring", "text"): lambda key: client().set(key, "A" * 28),
    ("ring", "of the far future"): lambda key: client().setrange(key, 16, b"\x7e" * 8),
    ("quota", "committed no number"): lambda key: client().hset(key, "l", "nan"),
    ("quota", "revision no number"): lambda key: client().hset(key, "r", "1e3"),
    ("quota", "pending no number"): lambda key: client().hset(key, "p", "text"),
    ("quota", "pending with a leading zero"): lambda key: client().hset(key, "p", "010"),
    ("quota", "taken back no number"): lambda key: client().hset(key, "v", "text"),
    ("record", "no event"): lambda key: client().hdel(key, "e"),
    ("record", "an event that is none"): lambda key: client().hset(key, "e", b"\xff"),
    ("record", "no audit text"): lambda key: client().hdel(key, "a"),
    ("record", "an audit text that is none"): lambda key: client().hset(key, "a", "text"),
    ("record", "an instant that is none"): lambda key: client().hset(key, "t", "text"),
    ("record", "an answer that is none"): lambda key: client().hset(key, "c", "text"),
}
DAMAGES = [
    *(
        (kind, other)
        for kind, own in OWN_TYPE.items()
        for other in (TYPES if LONG else ("string", "list"))
        if other != own
    ),
    *CONTENTS,
]
"""Each kind of key with what stands there instead: a type (in a sample not all), or what is wrong with the content."""
OF_ACCOUNT = [damage for damage in DAMAGES if damage[0] not in ("stream", "catalogue")]
OF_SHARD = [damage for damage in DAMAGES if damage[0] in ("stream", "catalogue")]


def place(account: int, kind: str, idempotency_key: str = "k") -> bytes:
    """The key of this kind that the account's present calls touch."""
    keys = AccountKeys(account)
    if kind == "quota":
        window = snapshot(account, round(timezone.now().timestamp() * 1000)).entitlement.window
        return keys.quota(round(window.start.timestamp()) * 1000)
    if kind == "record":
        return keys.record(key_digest(idempotency_key))
    places = {"fence": keys.fence, "catalogue": keys.catalogue_fence, "stream": keys.stream}
    return places.get(kind) or (keys.ring if kind == "ring" else keys.ring_body)


def damage(account: int, kind: str, what: str) -> bytes:
    """Do it, and return the key."""
    key = place(account, kind)
    if overwrite := TYPES.get(what):
        client().delete(key)
        overwrite(key)
    else:
        CONTENTS[kind, what](key)
    return key
