"""From an API key to the account it belongs to: in memory when known, one look-up in PostgreSQL when not."""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from billing.bounded_cache import BoundedCache
from billing.models import ApiKey, Fence
from billing.models.entitlements.api_keys import prefix_in
from billing.models.entitlements.budgets import terms_of
from billing.rules.tokens.budgets import NONE, Budgets
from ratelimit import process_state
from ratelimit.limits import LARGEST_VERSION

UNKNOWN_KEYS_REMEMBERED = 10_000
UNKNOWN_KEY_SECONDS = 30
LONGEST_KEY = 200
NEVER = float("inf")


class BadCredentials(Exception):
    """Nobody is let in. `reason` is what the caller is told: missing, scheme, unknown, revoked, expired or refused.

    Revoked and expired are told to the holder of the whole key only; for who guesses, a key is unknown. Refused is what
    was not for us to judge (METERED_IDENTIFY).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Identity(NamedTuple):
    """Whose key it is. It holds while the account's version is `version` and the key has not expired."""

    account: int
    prefix: str
    scope: str
    version: int
    expires_at: float
    budgets: Budgets = NONE


_known: BoundedCache[bytes, Identity] = process_state.remember(
    __name__, "_known", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)
)
_unknown: BoundedCache[bytes, float] = process_state.remember(
    __name__, "_unknown", lambda: BoundedCache(UNKNOWN_KEYS_REMEMBERED)
)


def known(key: str) -> Identity | None:
    """The identity this process remembers for the key, unless it has expired."""
    identity = _known.get(_digest(key))
    return identity if identity is not None and time.time() < identity.expires_at else None


def known_to_be_unknown(key: str) -> bool:
    """Whether the key was looked up in vain a moment ago; no key can come to exist later under the same text."""
    return len(key) > LONGEST_KEY or not key.isprintable() or _unknown.get(_digest(key), 0.0) > time.monotonic()


def look_up(key: str) -> Identity:
    """Ask PostgreSQL. Raises BadCredentials: the key is unknown, revoked or expired."""
    digest = _digest(key)
    _known.pop(digest, None)
    version = Fence.objects.filter(subject=OuterRef("account_id")).values("version")
    row: Any = (
        ApiKey.objects.filter(prefix=prefix_in(key))
        .select_related("budget")
        .annotate(account_version=Subquery(version))
        .first()
    )
    if row is None or not row.is_valid(key):
        _unknown.remember(digest, time.monotonic() + UNKNOWN_KEY_SECONDS)
        raise BadCredentials("unknown")
    if row.revoked:
        raise BadCredentials("revoked")
    if row.expiry_date is not None and row.expiry_date <= timezone.now():
        raise BadCredentials("expired")
    identity = Identity(
        account=row.account_id,
        prefix=row.prefix,
        scope=row.scope,
        version=row.account_version or 1,
        expires_at=row.expiry_date.timestamp() if row.expiry_date else NEVER,
        budgets=terms_of(row),
    )
    return _known.remember(digest, identity)


def standing_in_for(row: ApiKey) -> Identity:
    """The identity of a key whose row was read just now, for who does not have the key itself."""
    return Identity(row.account_id, row.prefix, row.scope, LARGEST_VERSION, NEVER, terms_of(row))


def _digest(key: str) -> bytes:
    # Not by way of OpenSSL, which takes four times as long where its code is cold.
    return hashlib.blake2s(key.encode(), digest_size=16).digest()


class Caller:
    """Who is calling: an account, by an API key; without `key` by the browser's session, or as the host product says.

    Only who calls by the session has no `identity`.
    """

    __slots__ = ("account", "identity", "key")

    def __init__(self, account: int, key: str = "", identity: Identity | None = None) -> None:
        self.account = account
        self.key = key
        self.identity = identity

    @property
    def key_prefix(self) -> str:
        """Names the key in the audit log; "" for a session."""
        return self.identity.prefix if self.identity else ""

    def may(self, scope: str) -> bool:
        return self.identity is not None and self.identity.scope == scope

    def confirm(self, version: int, *, active: bool) -> None:
        """Check the credentials against the account's facts at `version`. Raises BadCredentials."""
        # Facts that say no may be stale, and a caller turned away here never meets the fence.
        if not active and not get_user_model().objects.filter(pk=self.account, is_active=True).exists():
            raise BadCredentials("revoked")
        if self.identity is not None and self.identity.version < version:
            self.identity = look_up(self.key)
            if self.identity.account != self.account:
                raise BadCredentials("revoked")


def without_key(account: int) -> Caller:
    """Who was identified otherwise than by a key or the session: as by a key without a scope."""
    return Caller(account, "", Identity(account, "", "", LARGEST_VERSION, NEVER))
