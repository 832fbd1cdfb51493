"""An account's API keys: made, renamed, rotated, revoked, found. Every door calls these functions.

Writes of one account's keys follow each other: each holds the account's row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet

from billing.models import ApiKey, Budget
from billing.models.entitlements.api_keys import prefix_in
from billing.models.entitlements.budgets import terms_of
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.refused import Refused
from billing.rules.tokens.budgets import NONE

LONGEST_OVERLAP: Final = timedelta(days=30)
LONGEST_LIFE: Final = timedelta(days=365_250)
"""A thousand years: the end of the calendar cannot be shown in every zone, nor a life that long added to now."""
EVERY_SCOPE: Final = frozenset(ApiKey.Scope.values)
CUSTOMERS_SCOPES: Final = frozenset({ApiKey.Scope.NONE.value, ApiKey.Scope.MANAGE.value})
"""Those that a customer gives to a key; `meter` is issued by staff."""
_WHOLE_KEY: Final = re.compile(
    r"(?:bearer\s+)?(?P<named>[\w-]{0,20}[a-z0-9]{8})\.[\w.-]{20,}", re.IGNORECASE | re.ASCII
)
"""As a customer sends it, with its scheme or without."""


Limits = Mapping[str, int | None]
"""Budgets by the names of `Budgets`; None: no budget."""


class KeyRefused(Refused):
    """Nothing was done."""


class TooManyKeys(KeyRefused):
    """The account has as many live keys as it may. Parameter: the `most`."""

    code = "too_many_keys"


class ExpiryPassed(KeyRefused):
    """A key would expire before it could be used."""

    code = "expiry_passed"


class ExpiryTooFar(KeyRefused):
    """A key would live longer than LONGEST_LIFE."""

    code = "expiry_too_far"


class KeyEnded(KeyRefused):
    """The key is revoked or has expired, and stays so. Parameter: the `reason`."""

    code = "key_ended"


class AlreadyRotated(KeyRefused):
    """Another key has taken its place. Parameter: what the `successor` begins with."""

    code = "already_rotated"


class ScopeNotYours(KeyRefused):
    """Who asks would get a key that only staff give out. Parameter: the `scope`."""

    code = "scope_not_yours"


class NewKey(NamedTuple):
    key: ApiKey
    text: str
    """The key itself. It is not kept anywhere: show it once, and put it into no address, session or log."""


def keys_of(account: int) -> QuerySet[ApiKey]:
    """The account's keys, each with its last use (`use`, which may be missing)."""
    return ApiKey.objects.filter(account=account).select_related("use", "budget")


def create(
    account: int,
    name: str,
    now: datetime,
    *,
    scope: str = "",
    expires_at: datetime | None = None,
    limits: Limits | None = None,
    by_staff: bool = False,
) -> NewKey:
    """A new key. Staff may make more than a customer may. Raises TooManyKeys, ExpiryPassed, ExpiryTooFar."""
    _check_expiry(expires_at, now)
    with transaction.atomic():
        _lock(account)
        if not by_staff:
            _check_room(account, now)
        new = NewKey(*ApiKey.issue(account_id=account, name=name, scope=scope, expiry_date=expires_at))
        _set_limits(new.key, limits or {})
    return new


def change(account: int, key: str, now: datetime, changes: Mapping[str, Any], limits: Limits | None = None) -> ApiKey:
    """Set `name`, `expiry_date` (None: never) or both, and those limits that are given.

    Raises ApiKey.DoesNotExist, KeyEnded, ExpiryPassed, ExpiryTooFar.
    """
    assert changes.keys() <= {"name", "expiry_date"}
    with transaction.atomic():
        row = _live(account, key, now)
        _check_expiry(changes.get("expiry_date"), now)
        changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
        for name, value in changed.items():
            setattr(row, name, value)
        if changed:
            row.save(update_fields=list(changed))
        if _set_limits(row, limits or {}) or changed:
            record(Happened.API_KEY_CHANGED, account, key=row.prefix)
        changed_row: ApiKey = keys_of(account).get(pk=key)
    return changed_row


def rotate(
    account: int, key: str, overlap: timedelta, now: datetime, *, giving: Collection[str] = CUSTOMERS_SCOPES
) -> NewKey:
    """A key that takes another's place, with its name, scope, limits and span of life.

    The old one goes on for the overlap at most, and is revoked at once where that is 0. `giving` are the scopes that
    who asks may be given. A customer's are without `meter`: who pays must not say what was used. Raises
    ApiKey.DoesNotExist, KeyEnded, AlreadyRotated, ScopeNotYours, TooManyKeys.
    """
    assert timedelta(0) <= overlap <= LONGEST_OVERLAP, overlap
    with transaction.atomic():
        old = _live(account, key, now)
        if old.scope not in giving:
            raise ScopeNotYours(scope=old.scope)
        successor = old.successors.filter(revoked=False).first()
        if successor is not None:
            raise AlreadyRotated(successor=successor.beginning)
        expires_at = None if old.expiry_date is None else now + (old.expiry_date - old.created)
        if overlap:
            _check_room(account, now)
            old.expiry_date = min(filter(None, (old.expiry_date, now + overlap)))
        else:
            old.revoked = True
        old.save(update_fields=["expiry_date", "revoked"])
        new = NewKey(
            *ApiKey.issue(account_id=account, name=old.name, scope=old.scope, expiry_date=expires_at, replaces=old)
        )
        _set_limits(new.key, terms_of(old)._asdict())
        seconds = int(overlap.total_seconds())
        record(Happened.API_KEY_ROTATED, account, key=old.prefix, successor=new.key.prefix, overlap_seconds=seconds)
    return new


def revoke(account: int, key: str) -> ApiKey:
    """Refuse calls with the key from the next request on, for good. Done again it changes nothing.

    Raises ApiKey.DoesNotExist.
    """
    with transaction.atomic():
        _lock(account)
        row = keys_of(account).get(pk=key)
        row.revoke()
    return row


def find_by_key(text: str) -> ApiKey | None:
    """The row of a key that was pasted whole, with "Bearer" before it or without; None where the text is no such key.

    For staff. It looks one prefix up and does not judge the secret, so it must answer nobody who may not see all keys.
    """
    pasted = _WHOLE_KEY.fullmatch(text.strip())
    found = None if pasted is None else ApiKey.objects.filter(prefix=prefix_in(pasted["named"])).first()
    return found if found is not None and pasted is not None and found.beginning == pasted["named"] else None


def _set_limits(key: ApiKey, limits: Limits) -> bool:
    """Set those limits of a key that are given; whether any was another one before."""
    row = Budget.objects.filter(key=key).first() or Budget(key=key)
    before = row.terms
    for name, maximum in limits.items():
        setattr(row, name, maximum)
    if row.terms == before:
        return False
    if row.terms == NONE:
        row.delete()
    else:
        row.save()
    return True


def _live(account: int, key: str, now: datetime) -> ApiKey:
    _lock(account)
    row: ApiKey = keys_of(account).get(pk=key)
    if (state := row.state(now)) != ApiKey.State.VALID:
        raise KeyEnded(reason=state.value)
    return row


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise ExpiryPassed
    if expires_at is not None and expires_at - now > LONGEST_LIFE:
        raise ExpiryTooFar


def _check_room(account: int, now: datetime) -> None:
    live = ApiKey.objects.filter(Q(expiry_date=None) | Q(expiry_date__gt=now), account=account, revoked=False)
    if live.count() >= settings.MOST_API_KEYS:
        raise TooManyKeys(most=settings.MOST_API_KEYS)


def _lock(account: int) -> None:
    get_user_model().objects.select_for_update(no_key=True).get(pk=account)
