"""The roles of staff: each opens what it may, finds no link that it may not follow, and changes nothing beyond it."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone

from billing.models import (
    AccountNote,
    Erasure,
    Invoice,
    LimitOverride,
    ModelPrice,
    OutboxCursor,
    Plan,
    Subscription,
    TokenTopUp,
)
from tests.billing.ledger import pay_in_full, schedule
from tests.billing.staff import text_of
from tests.cast import Customer, Staff, call
from tests.effort import effort, some
from tests.factories import make_coupon
from usage import roles
from usage.drain import drain
from usage.models import RedisOutage, SetAsideEntry, UsageLog, UsageReset

pytestmark = pytest.mark.django_db
ROLES = tuple(roles.CHANGES)
LINK = re.compile(r'href="(/admin/[^"#]*)"')
LEFT_OUT = re.compile(r"^/admin/(logout|password_change|jsi18n|login)/|/pdf/$")
MOST_PAGES = effort(80, 400)
SEEN_BY_NOBODY = {"mfa.Authenticator", "billing.MailboxMessage"}
"""They hold what one can log in with."""


def member(role: str) -> Staff:
    roles.make(apps)
    user = User.objects.create_user(f"the-{role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return Staff(user)


@pytest.fixture
def life(alice: Customer, bob: Customer, carol: Customer, dave: Customer) -> Customer:
    """Rows of every kind that staff look at: Bob's are the most; Carol's plan changes, Dave is parked."""
    now = timezone.now()
    call(bob, "graph_query")
    drain.drain()
    pay_in_full(Invoice.objects.get(account=carol.account), now)
    schedule(Subscription.objects.get(account=carol.account), Plan.objects.get(code="starter"))
    Subscription.objects.filter(account=dave.account).update(parked_at=now, parked_because="it looks wrong")
    LimitOverride.objects.create(account=bob.user, limit="minute", maximum=77)
    TokenTopUp.objects.create(account=bob.user, tokens=5)
    AccountNote.objects.create(account=bob.user, text="a note")
    make_coupon()
    ahead = ModelPrice.objects.get(model="m-large")
    ahead.pk, ahead.valid_from = None, now + timedelta(days=1)
    ahead.save()
    SetAsideEntry.objects.create(shard=1, stream_id="1-0", payload=b"x", error="unreadable")
    RedisOutage.objects.create(began_at=now, seen_at=now, ended_at=now)
    UsageReset.objects.create(account=bob.user, tokens=1, reason="asked", reset_at=now, window_starts_at=now)
    OutboxCursor.objects.create(
        consumer="log", account=alice.user, delivered=0, latest=1, due_at=now, attempts=2, error="no such address"
    )
    return bob


def pages() -> dict[str, tuple[Any, str]]:
    """Each page of each model in the admin, with the method that says who may open it."""
    found: dict[str, tuple[Any, str]] = {}
    for model, pages_of in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found[reverse(f"{name}_changelist")] = (pages_of, "view")
        found[reverse(f"{name}_add")] = (pages_of, "add")
        row = model._default_manager.first()
        if row is not None:
            found[reverse(f"{name}_change", args=[quote(row.pk)])] = (pages_of, "view")
            found[reverse(f"{name}_delete", args=[quote(row.pk)])] = (pages_of, "delete")
            found[reverse(f"{name}_history", args=[quote(row.pk)])] = (pages_of, "view")
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_page_opens_for_who_may_and_for_nobody_else(role: str, life: Customer, rf: Any) -> None:
    staff, request, wrong = member(role), rf.get("/admin/"), {}
    request.user = User.objects.get(pk=staff.user.pk)
    for path, (pages_of, right) in some(pages().items(), 2):
        may = getattr(pages_of, f"has_{right}_permission")(request)
        status = staff.client.get(path).status_code
        if status != (200 if may else 403):
            wrong[path] = (status, may)
    assert not wrong


@pytest.mark.parametrize("role", ROLES)
def test_no_link_or_button_leads_to_a_refusal(role: str, life: Customer) -> None:
    """From the home on, as far as links go; the parts of the customer's page among them."""
    staff = member(role)
    seen, ahead, wrong = {"/admin/"}, ["/admin/"], {}
    while ahead and len(seen) < MOST_PAGES:
        path = ahead.pop(0)
        response = staff.client.get(path)
        if response.status_code not in (200, 302):
            wrong[path] = response.status_code
        if response.status_code != 200 or "?" in path:  # a list that is filtered has the same links once more
            continue
        for link in map(unescape, LINK.findall(response.content.decode())):
            place = link.partition("?")[0] + "?" * ("?" in link)  # one filter of a list stands for its others
            if place not in seen and not LEFT_OUT.search(link):
                seen.add(place)
                ahead.append(link)
    assert not wrong
    assert len(seen) > 20


def actions() -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Each action's page, with the rights that it asks for."""
    found = {}
    for model, pages_of in admin.site._registry.items():
        row = model._default_manager.first()
        for name in (str(each) for each in (pages_of.actions_detail if row is not None else ())):  # type: ignore[attr-defined]
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=[quote(row.pk)])
            found[url] = (pages_of, tuple(getattr(pages_of, name).allowed_permissions))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_an_action_is_refused_to_who_may_not_whatever_is_shown(role: str, life: Customer, rf: Any) -> None:
    staff, request, wrong = member(role), rf.get("/admin/"), {}
    request.user = User.objects.get(pk=staff.user.pk)
    for path, (pages_of, rights) in actions().items():
        if all(getattr(pages_of, f"has_{right}_permission")(request) for right in rights):
            continue
        for answer in (staff.client.get(path), staff.client.post(path, {"digest": "x"})):
            if answer.status_code != 403:
                wrong[path] = answer.status_code
    assert not wrong


def test_what_each_role_is_for(life: Customer) -> None:
    texts = {role: text_of(member(role).open(f"auth/user/{life.account}/change/")) for role in roles.SEES_ALL}
    for role, label in (
        ("support", "Override a limit"),
        ("support", "Add tokens"),
        ("support", "Reset usage"),
        ("billing", "Change plan now"),
        ("billing", "Redeem a coupon"),
    ):
        assert [each for each in texts if label in texts[each]] == [role], label
    assert 'aria-label="Actions"' not in texts["auditor"]
    assert all("29.00" in text for text in texts.values())
    catalogue = member("catalogue")
    assert catalogue.open(f"auth/user/{life.account}/change/").status_code == 403
    assert catalogue.open("billing/plan/add/").status_code == 200


def test_an_auditor_sees_every_list(life: Customer) -> None:
    """Who adds a model to the admin grants `view` to the roles in its migration: usage.roles.grant."""
    auditor = member("auditor")
    lists = {model: f"{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry}
    unseen = {model._meta.label for model, page in lists.items() if auditor.open(page).status_code != 200}
    assert unseen == SEEN_BY_NOBODY


@pytest.mark.parametrize("role", ROLES)
def test_nobody_edits_the_usage_log(role: str, life: Customer) -> None:
    staff, row = member(role), UsageLog.objects.get()
    for page in (f"usage/usagelog/{row.pk}/change/", f"usage/usagelog/{row.pk}/delete/", "usage/usagelog/add/"):
        assert staff.send(page, tokens=0, post="yes").status_code == 403, page
    assert UsageLog.objects.get().tokens == row.tokens


def test_made_again_an_operator_s_edits_stay() -> None:
    roles.make(apps)
    support = Group.objects.get(name="support")
    support.permissions.clear()
    Group.objects.filter(name="catalogue").delete()
    roles.make(apps)
    assert support.permissions.count() == 0
    assert Group.objects.get(name="catalogue").permissions.count() > 10
    roles.grant(apps, "support", ["billing.view_plan"])
    assert [each.codename for each in support.permissions.all()] == ["view_plan"]
    assert not Erasure.objects.exists()
