"""Members: who may do what for an account, how one becomes one and stops being one, and who did it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone

from billing.members import membership
from billing.members.membership import NotInvited
from billing.members.rights import RIGHTS
from billing.models import Invitation, Member, OutboxMessage, Subscription
from billing.models.members import Role
from billing_site.dashboard.urls import urlpatterns
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer

pytestmark = pytest.mark.django_db
ARGUMENTS = {
    "code": "pro",
    "number": "INV-000001",
    "invitation": 1,
    "member": 1,
    "user": 1,
    "secret": "x",
    "key": "x",
    "threshold": 1,
    "method": 1,
}
OPEN = {"unsubscribe"}
"""Who has the link of a mail needs no log-in."""
PAGES = [pattern for pattern in urlpatterns if isinstance(pattern, URLPattern) and pattern.name not in OPEN]


def as_member(owner: Customer, role: Role, name: str = "mia") -> Person:
    """Somebody with that role, acting for the owner's account."""
    user = User.objects.create_user(name, f"{name}@example.com")
    Member.objects.create(account=owner.user, user=user, role=role, created_at=timezone.now())
    person = Person(user)
    person.client.post("/dashboard/members/act-for/", {"account": owner.account})
    return person


def path_of(pattern: URLPattern) -> str:
    return re.sub(r"<\w+:(\w+)>", lambda found: str(ARGUMENTS[found[1]]), str(pattern.pattern))


@pytest.mark.parametrize("role", Role)
def test_a_page_is_open_to_the_roles_that_have_its_right(bob: Customer, role: Role) -> None:
    person = as_member(bob, role)
    answered = {page.name: person.client.get(f"/dashboard/{path_of(page)}").status_code for page in PAGES}
    others = {page.name for page in PAGES if page.callback.needs not in RIGHTS[role] and answered[page.name] != 405}
    assert {name for name, status in answered.items() if status == 403} == others


@pytest.mark.parametrize(
    ("role", "path", "may"),
    [
        (Role.VIEWER, "plans/keep/", False),
        (Role.DEVELOPER, "plans/cancel/", False),
        (Role.BILLING, "plans/cancel/", True),
        (Role.BILLING, "members/invite/", False),
        (Role.OWNER, "members/invite/", True),
    ],
)
def test_a_role_writes_what_it_may(bob: Customer, role: Role, path: str, may: bool) -> None:
    answer = as_member(bob, role).client.post(f"/dashboard/{path}", {"form": "a"})
    assert (answer.status_code != 403) == may


def link_in(message: Any) -> str:
    found = re.search(r"/dashboard/(members/join/\S+/)", message.body)
    assert found
    return found[1]


def test_who_is_invited_joins_and_acts(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    there = at_dashboard(bob.user)
    assert "A mail to Mia@Example.com is on its way." in there.send(
        "members/invite/", email="Mia@Example.com", role="billing"
    )
    assert mail.outbox[-1].to == ["Mia@Example.com"]
    mia = at_dashboard(confirmed("mia", "mia@example.com"))
    link = link_in(mail.outbox[-1])
    assert "You were invited to act for the account of bob." in mia.open(link)
    assert "You act for bob now." in mia.send(link)
    assert "You are on Starter" in mia.open("plans/")
    assert "Your subscription ends on" in mia.confirm("plans/cancel/")
    assert Subscription.objects.get(account=bob.account).cancel_at is not None
    assert not Invitation.objects.exists()
    activity = there.open("activity/")
    assert re.search(r"Subscription canceled.*?</td><td>mia</td>", activity)
    assert "mia joined as billing" in activity and "Plan Starter began" in activity


def confirmed(name: str, email: str) -> User:
    user = User.objects.create_user(name, email)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    return user


def test_an_address_that_nobody_confirmed_does_not_join(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    at_dashboard(bob.user).send("members/invite/", email="mia@example.com", role="owner")
    link = link_in(mail.outbox[-1])
    client = Client()  # of somebody to whom the mail was passed on
    client.post("/accounts/signup/", {"email": "mia@example.com", "password1": "a long enough one"})
    for page in (client.get(f"/dashboard/{link}"), client.post(f"/dashboard/{link}")):
        assert "Confirm first that mia@example.com is yours" in page.text
    assert not Member.objects.exists()
    confirmation = re.search(r"/accounts/confirm-email/\S+", str(mail.outbox[-1].body))
    assert confirmation
    client.post(confirmation[0])
    assert "You act for bob now." in client.post(f"/dashboard/{link}", follow=True).text


def test_a_link_is_good_once(bob: Customer) -> None:
    now = timezone.now()
    secret = membership.invite(bob.account, "mia@example.com", Role.VIEWER, bob.user, now)
    mia = User.objects.create_user("mia", "mia@example.com")
    membership.accept(secret, mia, now)
    membership.remove(bob.account, mia.pk)
    with pytest.raises(NotInvited, match="unknown"):
        membership.accept(secret, mia, now)


@pytest.mark.parametrize(("days", "holds"), [(6, True), (7, False), (8, False)])
def test_a_link_holds_for_seven_days(bob: Customer, days: int, holds: bool) -> None:
    now = timezone.now()
    secret = membership.invite(bob.account, "mia@example.com", Role.VIEWER, bob.user, now)
    mia = User.objects.create_user("mia", "mia@example.com")
    if holds:
        assert membership.accept(secret, mia, now + timedelta(days=days)).role == "viewer"
    else:
        with pytest.raises(NotInvited, match="old"):
            membership.accept(secret, mia, now + timedelta(days=days))


def test_a_link_that_was_passed_on_says_whose_it_is(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    secret = membership.invite(bob.account, "mia@example.com", Role.OWNER, bob.user, timezone.now())
    eve = at_dashboard(User.objects.create_user("eve", "eve@example.com"))
    for page in (
        eve.send(f"members/join/{secret}/"),
        eve.client.get(f"/dashboard/members/join/{secret}/", follow=True),
    ):
        text = page if isinstance(page, str) else page.text
        assert "mia@example.com was invited." in text
    assert not Member.objects.exists()


def test_another_invitation_ends_the_link_before(bob: Customer) -> None:
    now = timezone.now()
    first = membership.invite(bob.account, "mia@example.com", Role.OWNER, bob.user, now)
    membership.invite(bob.account, "MIA@example.com ", Role.VIEWER, bob.user, now)
    with pytest.raises(NotInvited, match="unknown"):
        membership.invitation_of(first, now)
    assert Invitation.objects.get().role == "viewer"


def test_a_removed_member_acts_no_more_on_the_next_request(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    mia = as_member(bob, Role.OWNER)
    assert "You are on Starter" in mia.open("plans/")
    assert "acts no more" in at_dashboard(bob.user).send(f"members/remove/{mia.user.pk}/")
    assert "You are on Starter" not in mia.open("plans/")
    mia.client.post("/dashboard/plans/cancel/", {"form": "a"})
    assert Subscription.objects.get(account=bob.account).cancel_at is None


def test_another_role_counts_on_the_next_request(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    mia = as_member(bob, Role.OWNER)
    member = Member.objects.get()
    at_dashboard(bob.user).send(f"members/{member.pk}/role/", role="viewer")
    assert mia.client.get("/dashboard/plans/cancel/").status_code == 403


def test_a_viewer_leaves_and_removes_nobody(bob: Customer) -> None:
    mia, max_ = as_member(bob, Role.VIEWER), as_member(bob, Role.VIEWER, "max")
    assert mia.client.post(f"/dashboard/members/remove/{max_.user.pk}/").status_code == 403
    assert "You are not a member any more." in mia.send(f"members/remove/{mia.user.pk}/")
    assert [member.user for member in Member.objects.all()] == [max_.user]


def test_nobody_acts_for_a_stranger(bob: Customer, carol: Customer) -> None:
    mia = as_member(bob, Role.OWNER)
    for number in (carol.account, 0, 10**30, "x"):
        answer = mia.client.post("/dashboard/members/act-for/", {"account": number})
        assert answer.status_code in (403, 404)
    other = Member.objects.create(account=carol.user, user=bob.user, role=Role.VIEWER, created_at=timezone.now())
    mia.send(f"members/{other.pk}/role/", role="owner")
    other.refresh_from_db()
    assert other.role == "viewer", "members of another account are out of reach"


def test_an_account_has_so_many_members(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MOST_MEMBERS", 2)
    now = timezone.now()
    for name in ("a", "b"):
        membership.invite(bob.account, f"{name}@example.com", Role.VIEWER, bob.user, now)
    membership.invite(bob.account, "b@example.com", Role.OWNER, bob.user, now)
    with pytest.raises(NotInvited, match="many"):
        membership.invite(bob.account, "c@example.com", Role.VIEWER, bob.user, now)


def test_changes_over_http_name_the_key_and_staff_are_not_named(
    bob: Customer, superuser: Any, at_dashboard: Callable[..., Person]
) -> None:
    bob.post("/api/v1/billing/cancel", {})
    assert OutboxMessage.objects.latest("pk").actor.startswith("key:")
    superuser.client.get("/admin/")
    assert "key " in at_dashboard(bob.user).open("activity/")
