"""The admin's pages of users: a deactivated customer is refused at once, and rights are given by superusers only."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from billing.entitlements import callers
from billing.entitlements.callers import BadCredentials
from billing.erasure import erase
from billing.models import ApiKey, BillingDetails, BillingPeriod, LimitOverride, TokenTopUp
from tests.billing.staff import text_of
from tests.cast import Customer, Staff
from tests.outages import redis_gone
from usage.metering import admit
from usage.metering.call import ChargeRequest

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db


def form_of(user: User, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"username": user.username, "first_name": "", "last_name": "", "email": user.email}
    if user.is_active:
        fields["is_active"] = "on"
    return fields | changes


@pytest.mark.django_db(transaction=True)
def test_a_deactivated_customer_fails_on_the_next_call(superuser: Staff, alice: Customer) -> None:
    caller = alice.caller
    assert admit.admit(caller, lambda _: ChargeRequest()).admitted
    fields = form_of(alice.user)
    del fields["is_active"]
    assert superuser.send(f"auth/user/{alice.account}/change/", **fields).status_code == 302
    with pytest.raises(BadCredentials):
        admit.admit(caller, lambda _: ChargeRequest())
    assert superuser.send(f"auth/user/{alice.account}/change/", **fields, is_active="on").status_code == 302
    alice.user.refresh_from_db()
    assert alice.user.is_active


def test_every_page_opens(superuser: Staff, alice: Customer) -> None:
    user = f"user/{alice.account}"
    for page in (
        "user/",
        "user/?q=ali",
        "user/add/",
        f"{user}/change/",
        f"{user}/edit/",
        f"{user}/password/",
        "group/",
        "group/add/",
    ):
        assert superuser.open(f"auth/{page}").status_code == 200, page
    assert "Community" in superuser.open("auth/user/").content.decode(), "the plan stands beside the name"


@pytest.mark.parametrize("door", ["page", "list"])
def test_a_customer_who_was_sold_something_is_kept(superuser: Staff, bob: Customer, alice: Customer, door: str) -> None:
    """And so is one who made a call, also while it waits in Redis; staff are told what to do instead."""
    assert admit.admit(alice.caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"])).admitted
    for customer, why in ((bob, "has bought"), (alice, "has made calls")):
        text = text_of(delete(superuser, customer.account, door))
        assert why in text
        assert "Erase the personal data instead" in text
        assert User.objects.filter(pk=customer.account).exists()


def delete(staff: Staff, account: int, door: str) -> Any:
    if door == "page":
        return staff.send(f"auth/user/{account}/delete/", post="yes")
    return staff.send("auth/user/", action="delete_selected", _selected_action=account, post="yes")


@pytest.mark.parametrize("door", ["page", "list"])
def test_who_never_bought_or_called_goes_with_all_of_it(clerk: Staff, alice: Customer, door: str) -> None:
    """Alice has a key and a free subscription with its period; her reasons stay in no history."""
    TokenTopUp.objects.create(account=alice.user, tokens=5, reason="alice asked").delete()
    clerk.may("auth.view_user", "auth.delete_user")
    assert "permission" not in clerk.open(f"auth/user/{alice.account}/delete/").content.decode()
    assert delete(clerk, alice.account, door).status_code == 302
    assert not User.objects.filter(pk=alice.account).exists()
    assert not BillingPeriod.objects.filter(subscription__account=alice.account).exists()
    assert not TokenTopUp.history.filter(reason__contains="alice").exists()
    with pytest.raises(BadCredentials):
        callers.look_up(alice.key)


def test_whose_data_were_erased_is_kept(superuser: Staff, alice: Customer) -> None:
    erase.erase(alice.account, timezone.now())
    assert "were erased" in text_of(delete(superuser, alice.account, "page"))


def test_staff_who_did_something_that_is_kept_are_kept(superuser: Staff, clerk: Staff, alice: Customer) -> None:
    erase.erase(alice.account, timezone.now(), clerk.user.pk)
    assert "is named in erasures" in text_of(delete(superuser, clerk.user.pk, "page"))
    assert User.objects.filter(pk=clerk.user.pk).exists()


def test_without_redis_nobody_is_deleted(superuser: Staff, alice: Customer, redis_gone: None) -> None:
    assert "cannot be told" in text_of(delete(superuser, alice.account, "page"))
    assert User.objects.filter(pk=alice.account).exists()


def test_somebody_who_never_called_can_be_deleted(superuser: Staff) -> None:
    for name in ("one", "two"):
        User.objects.create_user(name)
    one, two = User.objects.get(username="one"), User.objects.get(username="two")
    superuser.send(f"auth/user/{one.pk}/delete/", post="yes")
    deletion = {"action": "delete_selected", "_selected_action": two.pk, "post": "yes"}
    superuser.client.post("/admin/auth/user/", deletion)
    assert not User.objects.filter(username__in=["one", "two"]).exists()


def test_staff_who_may_change_users_give_nobody_rights(clerk: Staff, superuser: Staff, alice: Customer) -> None:
    clerk.may("auth.view_user", "auth.change_user", "auth.delete_user")
    rights = {"is_staff": "on", "is_superuser": "on"}
    answer = clerk.send(f"auth/user/{alice.account}/change/", **form_of(alice.user, email="a@example.com", **rights))
    assert answer.status_code == 302
    alice.user.refresh_from_db()
    assert (alice.user.email, alice.user.is_staff, alice.user.is_superuser) == ("a@example.com", False, False)
    sue = superuser.user.pk
    passwords = {"password1": "kQ7#long-enough", "password2": "kQ7#long-enough"}
    assert clerk.send(f"auth/user/{sue}/password/", **passwords).status_code == 403
    assert clerk.send(f"auth/user/{sue}/change/", **form_of(superuser.user)).status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": sue, "post": "yes"}
    clerk.client.post("/admin/auth/user/", deletion)
    assert User.objects.filter(pk=sue).exists()


def test_staff_give_themselves_no_rights_by_way_of_their_group(clerk: Staff) -> None:
    clerk.may("auth.view_group", "auth.add_group", "auth.change_group", "auth.delete_group")
    group = Group.objects.create(name="helpers")
    clerk.user.groups.add(group)
    right = Permission.objects.get(codename="change_plan")
    assert clerk.open("auth/group/").status_code == 200, "they may look"
    assert clerk.open(f"auth/group/{group.pk}/change/").status_code == 200
    for page in ("add/", f"{group.pk}/change/", f"{group.pk}/delete/"):
        answer = clerk.send(f"auth/group/{page}", name="another", permissions=right.pk, post="yes")
        assert answer.status_code == 403, page
    clerk.client.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": group.pk, "post": "yes"})
    assert [(row.name, row.permissions.count()) for row in Group.objects.filter(name="helpers")] == [("helpers", 0)]


def test_staff_who_add_users_add_them_without_rights(clerk: Staff) -> None:
    clerk.may("auth.view_user", "auth.add_user", "auth.change_user")
    group = Group.objects.create(name="helpers")
    password = "kQ7#long-enough"
    rights = {"is_staff": "on", "is_superuser": "on", "groups": group.pk}
    fields = {"username": "new", "password1": password, "password2": password, "usable_password": "true"}
    assert clerk.send("auth/user/add/", **fields, **rights).status_code == 302
    new = User.objects.get(username="new")
    assert (new.is_staff, new.is_superuser, new.groups.count()) == (False, False, 0)


def test_superusers_give_groups_their_rights(superuser: Staff) -> None:
    right = Permission.objects.get(codename="change_plan")
    assert superuser.send("auth/group/add/", name="helpers", permissions=right.pk).status_code == 302
    assert list(Group.objects.get(name="helpers").permissions.all()) == [right]


@pytest.mark.parametrize("door", ["page", "list"])
def test_somebody_with_a_key_who_never_called_can_be_deleted(clerk: Staff, superuser: Staff, door: str) -> None:
    for name, staff in (("one", superuser), ("two", clerk.may("auth.view_user", "auth.delete_user"))):
        user = User.objects.create_user(name)
        key, _ = ApiKey.issue(account=user, name="unused")
        page = f"auth/user/{user.pk}/delete/"
        assert "permission" not in staff.open(page).content.decode()
        if door == "page":
            staff.send(page, post="yes")
        else:
            staff.send("auth/user/", action="delete_selected", _selected_action=user.pk, post="yes")
        assert not User.objects.filter(pk=user.pk).exists()
        assert not ApiKey.objects.filter(pk=key.pk).exists()


def test_a_key_that_goes_with_its_user_is_refused_at_once(superuser: Staff, catalogue: None) -> None:
    user = User.objects.create_user("one")
    _, plain = ApiKey.issue(account=user, name="unused")
    superuser.send(f"auth/user/{user.pk}/delete/", post="yes")
    with pytest.raises(BadCredentials):
        callers.look_up(plain)


def test_exceptions_of_a_user_still_need_their_own_permission(clerk: Staff, superuser: Staff) -> None:
    user = User.objects.create_user("one")
    ApiKey.issue(account=user, name="unused")
    LimitOverride.objects.create(account=user, limit="quota", maximum=1)
    clerk.may("auth.view_user", "auth.delete_user")
    assert clerk.send(f"auth/user/{user.pk}/delete/", post="yes").status_code == 403
    assert superuser.send(f"auth/user/{user.pk}/delete/", post="yes").status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()


def test_a_customer_with_a_key_who_was_sold_something_is_kept(superuser: Staff, bob: Customer) -> None:
    superuser.send(f"auth/user/{bob.account}/delete/", post="yes")
    assert ApiKey.objects.filter(account=bob.account).exists()


def test_nobody_locks_himself_out(superuser: Staff) -> None:
    me = superuser.user
    answer = superuser.client.post(f"/admin/auth/user/{me.pk}/deactivate/", follow=True)
    assert "Another superuser" in answer.content.decode()
    superuser.send(f"auth/user/{me.pk}/edit/", username="sue", first_name="Sue", last_name="", email="")
    me.refresh_from_db()
    assert (me.is_active, me.is_staff, me.is_superuser, me.first_name) == (True, True, True, "Sue")


def test_nothing_is_added_to_an_account_that_was_erased(superuser: Staff, alice: Customer) -> None:
    erase.erase(alice.account, timezone.now())
    for page, fields in {
        "billing/limitoverride/add/": {"limit": "minute", "maximum": 7},
        "billing/tokentopup/add/": {"tokens": 7, "starts_at_0": "2026-11-01", "starts_at_1": "00:00"},
        "billing/apikey/add/": {"name": "new", "scope": ""},
        "billing/billingdetails/add/": {"name": "Alice Miller", "country": "DE"},
        "usage/usagereset/add/": {"reason": "asked"},
    }.items():
        assert "were erased" in text_of(superuser.send(page, account=alice.account, **fields)), page
    assert not LimitOverride.objects.exists() and not TokenTopUp.objects.exists()
    assert not ApiKey.objects.filter(name="new").exists() and not BillingDetails.objects.exists()
