"""Staff start a subscription on the customer's page: the terms, what they bill, and a confirmation of just that."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from billing.models import Invoice, Plan, Subscription
from tests.billing.staff import text_of
from tests.cast import Customer, Staff
from tests.factories import money

pytestmark = pytest.mark.django_db
SENT = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def page(user: Any) -> str:
    return f"auth/user/{user.pk}/start/"


def shown(staff: Staff, user: Any, **terms: Any) -> tuple[str, dict[str, str]]:
    """The preview's text, and the confirmation that it offers to send."""
    text = text_of(staff.client.get(f"/admin/{page(user)}", terms))
    return text, dict(SENT.findall(text))


@pytest.mark.usefixtures("catalogue")
def test_shown_and_then_started(superuser: Staff) -> None:
    user = User.objects.create_user("newcomer")
    assert "newcomer has no subscription" in text_of(superuser.open(page(user)))
    text, confirmation = shown(superuser, user, plan="pro", own_price="20")
    for said in ("20.00 USD", "to be paid", "at most", "Start the subscription"):
        assert said in text, said
    assert not Subscription.objects.exists()
    answer = superuser.client.post(f"/admin/{page(user)}", confirmation, follow=True)
    assert "Subscription to Pro started" in text_of(answer)
    assert Subscription.objects.get(account=user).kept_price == 20
    assert Invoice.objects.get(account=user).total == money(20)
    assert "Billed: INV-" in LogEntry.objects.get(object_id=str(user.pk)).change_message
    again = superuser.client.post(f"/admin/{page(user)}", confirmation, follow=True)
    assert "Change the plan instead" in text_of(again), "a second press starts no other"
    assert Invoice.objects.count() == 1


def test_in_the_place_of_the_free_plan(superuser: Staff, alice: Customer) -> None:
    text, confirmation = shown(superuser, alice.user, plan="starter", trial_days="14")
    assert "It takes the place of the free subscription to Community" in text
    assert "Trial of Starter" in text
    assert "nothing is billed" in text
    superuser.client.post(f"/admin/{page(alice.user)}", confirmation)
    subscription = Subscription.objects.get(account=alice.account)
    assert (subscription.plan.code, subscription.is_on_trial) == ("starter", True)


def test_what_cannot_be_is_said_at_the_form(superuser: Staff, alice: Customer, bob: Customer) -> None:
    tomorrow = f"{timezone.now() + timedelta(days=1):%Y-%m-%d}"
    for user, terms, said in (
        (alice.user, {"plan": "nothing"}, "Select a valid choice"),
        (alice.user, {"plan": "pro", "since": tomorrow}, "It cannot wait"),
        (alice.user, {"plan": "pro", "own_price": "1.234"}, "2 decimals"),
        (alice.user, {"plan": "pro", "own_price": "-1"}, "greater than or equal to 0"),
        (alice.user, {"plan": "pro", "own_price": "50"}, "the list price of Pro is 49.00 USD"),
        (alice.user, {"plan": "pro", "trial_days": "400"}, "less than or equal to 365"),
        (bob.user, {"plan": "pro"}, "Change the plan instead"),
    ):
        text, confirmation = shown(superuser, user, **terms)
        assert said in text, terms
        assert "digest" not in confirmation


def test_what_was_changed_since_is_shown_anew(superuser: Staff, alice: Customer) -> None:
    _, confirmation = shown(superuser, alice.user, plan="pro")
    pro = Plan.objects.get(code="pro")
    pro.price = money(59)
    pro.save()
    text = text_of(superuser.client.post(f"/admin/{page(alice.user)}", confirmation))
    assert "changed since you looked" in text
    assert "59.00 USD" in text
    assert not Invoice.objects.filter(account=alice.account).exists()


def test_only_who_may_change_subscriptions(clerk: Staff, alice: Customer) -> None:
    clerk.may("auth.view_user", "billing.view_subscription")
    assert clerk.open(page(alice.user)).status_code == 403
    assert clerk.send(page(alice.user), plan="pro", digest="x").status_code == 403
