"""From a key to its account: remembered while it holds, looked up when it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.entitlements import callers
from billing.entitlements.callers import BadCredentials, Caller
from billing.models import ApiKey
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db


def test_a_key_is_looked_up_once_and_known_from_then_on(bob: Customer) -> None:
    assert callers.known(bob.key) is None
    identity = callers.look_up(bob.key)
    assert (identity.account, identity.prefix, identity.scope) == (bob.account, bob.key.partition(".")[0][-8:], "")
    with CaptureQueriesContext(connection) as queries:
        assert callers.known(bob.key) is identity
    assert len(queries) == 0


def why_not(key: str) -> str:
    with pytest.raises(BadCredentials) as refused:
        callers.look_up(key)
    return refused.value.reason


@pytest.mark.parametrize("revoked", [False, True])
@pytest.mark.parametrize(
    "spoil", [lambda key: key[:-1], lambda key: key + "x", str.swapcase, lambda key: key.partition(".")[0]]
)
def test_only_the_whole_key_will_do_and_who_guesses_is_told_no_more(bob: Customer, spoil: Any, revoked: bool) -> None:
    ApiKey.objects.update(revoked=revoked)
    assert why_not(spoil(bob.key)) == "unknown"


def test_revoked_expired_and_deleted_keys_are_nobody(bob: Customer) -> None:
    key = ApiKey.objects.get(account=bob.user)
    now = timezone.now()
    yesterday = now - timedelta(days=1)
    for reason, change in (
        ("expired", {"expiry_date": now}),
        ("expired", {"expiry_date": yesterday}),
        ("revoked", {"revoked": True}),
        ("revoked", {"revoked": True, "expiry_date": yesterday}),
    ):
        ApiKey.objects.filter(pk=key.pk).update(**change)
        assert why_not(bob.key) == reason
        assert not callers.known_to_be_unknown(bob.key), "it may be good again"
        ApiKey.objects.filter(pk=key.pk).update(expiry_date=None, revoked=False)
        assert callers.look_up(bob.key).account == bob.account
    ApiKey.objects.all().delete()
    assert why_not(bob.key) == "unknown"
    assert callers.known_to_be_unknown(bob.key)


def test_what_is_known_ends_with_its_expiry(bob: Customer) -> None:
    with moved_by_hand() as clock:
        ApiKey.objects.update(expiry_date=timezone.now() + timedelta(minutes=1))
        callers.look_up(bob.key)
        states = []
        for seconds in (0, 59.999, 0.001):
            clock.tick(seconds)
            states.append(callers.known(bob.key) is not None)
    assert states == [True, True, False]


@pytest.mark.parametrize(("key", "unknown"), [("x" * 200, False), ("x" * 201, True), ("a\x00b", True), ("a.b", False)])
def test_what_can_be_no_key_is_not_looked_up(key: str, unknown: bool) -> None:
    assert callers.known_to_be_unknown(key) == unknown


class TestConfirm:
    def test_without_a_change_nothing_is_asked(self, bob: Customer) -> None:
        caller = bob.caller
        assert caller.identity is not None
        with CaptureQueriesContext(connection) as queries:
            caller.confirm(caller.identity.version, active=True)
            caller.confirm(caller.identity.version - 1, active=True)
            Caller(bob.account).confirm(99, active=True)
        assert len(queries) == 0

    def test_a_change_of_the_account_has_the_key_looked_up_again(self, bob: Customer) -> None:
        caller = bob.caller
        assert caller.identity is not None
        ApiKey.objects.update(scope="meter")
        caller.confirm(caller.identity.version + 1, active=True)
        assert caller.may("meter")
        ApiKey.objects.update(revoked=True)
        with pytest.raises(BadCredentials):
            caller.confirm(caller.identity.version + 1, active=True)

    def test_a_key_that_went_to_another_account_is_gone(self, bob: Customer, carol: Customer) -> None:
        caller = bob.caller
        assert caller.identity is not None
        ApiKey.objects.filter(account=bob.user).update(account=carol.user)
        with pytest.raises(BadCredentials):
            caller.confirm(caller.identity.version + 1, active=True)

    def test_an_inactive_user_is_gone_unless_the_facts_are_old(self, bob: Customer) -> None:
        bob.caller.confirm(0, active=False)
        get_user_model().objects.update(is_active=False)
        for caller in (bob.caller, Caller(bob.account)):
            with pytest.raises(BadCredentials):
                caller.confirm(0, active=False)


def test_scopes(bob: Customer, dave: Customer) -> None:
    assert (bob.caller.may("meter"), dave.caller.may("meter"), Caller(dave.account).may("meter")) == (
        False,
        True,
        False,
    )
    assert (dave.caller.key_prefix, Caller(dave.account).key_prefix) == (dave.key.partition(".")[0][-8:], "")
