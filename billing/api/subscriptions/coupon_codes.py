"""Codes of coupons as customers type them: unknown ones are counted by account, and too many are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from django.core.cache import cache

from billing.api.domain_problems import as_problems
from billing.http.openapi import problem
from billing.http.problems import Problem
from billing.models import Coupon
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.refusals import CouponInvalid

MOST_UNKNOWN: Final = 10
WINDOW_SECONDS: Final = 600
REASONS: Final = ("unknown", "expired", "used_up", "already_redeemed", "another_active")
COUPON_INVALID: Final = problem(400, "coupon_invalid", reason={"enum": list(REASONS)})


def find_coupon(account: int, code: str, now: datetime) -> Coupon:
    """The coupon of a code that the account could redeem now. Raises Problem: 400 `coupon_invalid`, 429."""
    with as_problems(), guessing(account):
        return redeeming.redeemable(account, code, now)


@contextmanager
def guessing(account: int) -> Iterator[None]:
    """Counts a try before it is made, so that many at once are not all let through; a known code costs nothing.

    Raises Problem 429 for one too many, whatever its code is.
    """
    key = f"coupon-guesses:{account}"
    cache.add(key, 0, WINDOW_SECONDS)
    _count(key)
    try:
        yield
    except CouponInvalid as error:
        if error.parameters["reason"] == "unknown":
            raise
        _give_back(key)
        raise
    else:
        _give_back(key)


def _count(key: str) -> None:
    try:
        tries = cache.incr(key)
    except ValueError:  # it ended in between
        return
    if tries is not None and tries > MOST_UNKNOWN:  # None: the cache is out of reach
        seconds = max(cache.ttl(key) or 0, 1)  # type: ignore[attr-defined]  # django-redis has it
        detail = f"Too many unknown coupon codes. Try again in {seconds} seconds."
        raise Problem(429, "rate_limited", detail, retry_after=seconds)


def _give_back(key: str) -> None:
    with suppress(ValueError):  # it ended in between
        cache.decr(key)
