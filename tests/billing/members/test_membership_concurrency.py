"""Members at the same moment: one link makes one member, and who is removed is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from billing.members import membership
from billing.models import Invitation, Member, OutboxMessage
from billing.models.members import Role
from billing.rules.refused import Refused
from tests.cast import Customer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", "ann@example.com")


def at_once(*calls: Callable[[], object]) -> list[str]:
    """What each was told: nothing, or why not."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        try:
            gate.wait()
            call()
            return ""
        except Refused as refused:
            return str(refused.parameters["reason"])
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_one_link_followed_at_once_makes_one_member(bob: Customer, ann: User) -> None:
    now = timezone.now()
    secret = membership.invite(bob.account, ann.email, Role.VIEWER, bob.user, now)
    told = at_once(*[lambda: membership.accept(secret, ann, now)] * 6)
    assert sorted(told) == ["", *["unknown"] * 5]
    assert Member.objects.count() == OutboxMessage.objects.filter(kind="member.joined").count() == 1


def test_accepted_and_withdrawn_at_once_is_one_of_the_two(bob: Customer, ann: User) -> None:
    now = timezone.now()
    secret = membership.invite(bob.account, ann.email, Role.VIEWER, bob.user, now)
    row = Invitation.objects.get()
    told = at_once(lambda: membership.accept(secret, ann, now), lambda: membership.withdraw(bob.account, row.pk))
    assert Member.objects.exists() == (told[0] == "")
    assert not Invitation.objects.exists()


def test_a_role_given_and_a_removal_at_once_end_in_the_removal(bob: Customer, ann: User) -> None:
    member = Member.objects.create(account=bob.user, user=ann, role=Role.VIEWER, created_at=timezone.now())
    at_once(
        lambda: membership.give_role(bob.account, member.pk, Role.OWNER),
        *[lambda: membership.remove(bob.account, ann.pk)] * 3,
    )
    assert not Member.objects.exists()
    assert OutboxMessage.objects.filter(kind="member.removed").count() == 1
