"""What takes a caller's credentials away acts on the next request, whatever statement did it, without beat's sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import ApiKey
from tests.cast import Customer

CURRENT = "/api/v1/usage/current"


def save(alice: Customer) -> None:
    alice.user.is_active = False
    alice.user.save()


def raw(alice: Customer) -> None:
    with connection.cursor() as cursor:
        cursor.execute('UPDATE "auth_user" SET "is_active" = false WHERE id = %s', [alice.account])


TAKE_AWAY: dict[str, Callable[[Customer], Any]] = {
    "save": save,
    "update": lambda alice: User.objects.filter(pk=alice.account).update(is_active=False),
    "bulk_update": lambda alice: User.objects.bulk_update([User(pk=alice.account, is_active=False)], ["is_active"]),
    "raw": raw,
    "keys revoked": lambda alice: ApiKey.objects.filter(account=alice.user).update(revoked=True),
    "keys deleted": lambda alice: ApiKey.objects.filter(account=alice.user).delete(),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", TAKE_AWAY)
def test_what_is_typed_in_a_shell_acts_on_the_next_request(alice: Customer, way: str) -> None:
    assert alice.api.get(CURRENT).status_code == 200
    TAKE_AWAY[way](alice)
    assert alice.api.get(CURRENT).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_user_who_is_activated_again_may_call(alice: Customer) -> None:
    assert alice.api.get(CURRENT).status_code == 200
    for active, status in ((False, 401), (True, 200)):
        User.objects.filter(pk=alice.account).update(is_active=active)
        assert alice.api.get(CURRENT).status_code == status


@pytest.mark.django_db(transaction=True)
def test_other_statements_push_nothing(alice: Customer) -> None:
    with CaptureQueriesContext(connection) as queries:
        User.objects.filter(pk=alice.account).update(last_name="Liddell")
    assert len(queries) == 1
