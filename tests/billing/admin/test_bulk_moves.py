"""Staff move many subscribers in the admin: the form, what the try comes to, the confirmation, the stop."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.models import BulkMove, Plan, Subscription
from billing.subscriptions.bulk import work
from tests.billing.ledger import fresh
from tests.billing.staff import text_of, told
from tests.cast import Staff
from tests.factories import make_plan, make_subscription

pytestmark = pytest.mark.django_db


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 93, 3)


def begin(staff: Staff, plan: Plan, **fields: Any) -> Any:
    given = {"target": "high", "when": "now", "reason": "retired"} | fields
    return staff.client.post(f"/admin/billing/plan/{plan.pk}/move_subscribers/", given, follow=True)


def test_all_of_a_plan_are_tried_shown_confirmed_and_moved(superuser: Staff, low: Plan, high: Plan) -> None:
    subscriptions = [make_subscription(low, timezone.now()) for _ in range(2)]
    low.archived_at = timezone.now()
    low.save()
    assert "Move subscribers" in text_of(superuser.open(f"billing/plan/{low.pk}/change/"))
    assert "All subscribers of Low, 2." in text_of(superuser.open(f"billing/plan/{low.pk}/move_subscribers/"))
    text = text_of(begin(superuser, low))
    move = BulkMove.objects.get()
    assert (move.state, move.made_by) == (BulkMove.State.READY, superuser.user)
    for shown in ("2 of 2 tried", "62.00 USD", "186.00 USD", "124.00 USD"):
        assert shown in text
    page = f"billing/bulkmove/{move.pk}"
    assert "2 subscriptions, 0 of them at the price they have; 0 cannot be moved" in text_of(
        superuser.open(f"{page}/go/")
    )
    answer = superuser.client.post(f"/admin/{page}/go/", follow=True)
    assert "They are being moved" in told(answer)
    assert "already" in told(superuser.client.post(f"/admin/{page}/go/", follow=True)) or fresh(subscriptions[0])
    assert work.work_off(move, timezone.now)
    assert "2 of 2 done" in text_of(superuser.open(f"{page}/change/"))
    for subscription in subscriptions:
        assert fresh(subscription).plan == high
        entry = LogEntry.objects.get(object_id=subscription.pk, content_type__model="subscription")
        assert (entry.user, "retired" in entry.change_message) == (superuser.user, True)
    items = text_of(superuser.open(f"billing/bulkmoveitem/?move__id__exact={move.pk}&outcome__exact=moved"))
    assert items.count("INV-") >= 2


def test_the_chosen_ones_of_one_plan(superuser: Staff, low: Plan, high: Plan) -> None:
    chosen, other = make_subscription(low, timezone.now()), make_subscription(low, timezone.now())
    elsewhere = make_subscription(high, timezone.now())
    action = {"action": "move_chosen", "_selected_action": [chosen.pk]}
    text = text_of(superuser.client.post("/admin/billing/subscription/", action))
    (sent,) = re.findall(r'name="chosen" value="([\d,]*)"', text)
    (url,) = re.findall(r'action="(/admin/billing/plan/\d+/move_subscribers/)"', text)
    superuser.client.post(url, {"target": "high", "when": "at_period_end", "reason": "asked", "chosen": sent})
    move = BulkMove.objects.get()
    assert [item.subscription for item in move.items.all()] == [chosen]
    mixed = {"action": "move_chosen", "_selected_action": [other.pk, elsewhere.pk]}
    answer = superuser.client.post("/admin/billing/subscription/", mixed, follow=True)
    assert "of one plan" in told(answer)


def test_who_cannot_be_moved_is_listed(superuser: Staff, low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, timezone.now())
    subscription.cancel("too dear", timezone.now())
    text = text_of(begin(superuser, low))
    assert "ends with its period: canceled" in text
    move = BulkMove.objects.get()
    answer = superuser.client.post(f"/admin/billing/bulkmove/{move.pk}/go/", follow=True)
    assert "nobody to move" in told(answer)


def test_a_move_can_be_stopped_before_and_while_it_goes_on(superuser: Staff, low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, timezone.now())
    begin(superuser, low)
    move = BulkMove.objects.get()
    page = f"/admin/billing/bulkmove/{move.pk}/stop/"
    superuser.client.post(page)
    assert "The move is stopped" in told(superuser.client.post(page, follow=True))
    assert "The move is stopped" in told(superuser.client.post(f"/admin/billing/bulkmove/{move.pk}/go/", follow=True))
    work.work_off(move, timezone.now)
    assert fresh(subscription).plan == low


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "low"},
        {"target": "nothing"},
        {"when": "never"},
        {"reason": " "},
        {"chosen": "1,x,99999999999999999999"},
    ],
)
def test_what_makes_no_sense_is_asked_again(superuser: Staff, low: Plan, high: Plan, wrong: dict[str, str]) -> None:
    make_subscription(low, timezone.now())
    assert begin(superuser, low, **wrong).status_code == 200
    assert not BulkMove.objects.exists()


def test_a_clerk_without_the_permission_sees_nothing(clerk: Staff, superuser: Staff, low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, timezone.now())
    begin(superuser, low)
    move = BulkMove.objects.get()
    clerk.may("billing.view_plan", "billing.change_plan", "billing.view_subscription", "billing.change_subscription")
    assert "Move subscribers" not in text_of(clerk.open(f"billing/plan/{low.pk}/change/"))
    assert "move_chosen" not in text_of(clerk.open("billing/subscription/"))
    assert "Moves of subscribers" not in text_of(clerk.open("billing/subscription/"))
    for page in ("bulkmove/", f"bulkmove/{move.pk}/change/", "bulkmoveitem/", f"plan/{low.pk}/move_subscribers/"):
        assert clerk.open(f"billing/{page}").status_code == 403, page
    for page in (f"bulkmove/{move.pk}/go/", f"bulkmove/{move.pk}/stop/", f"plan/{low.pk}/move_subscribers/"):
        assert clerk.send(f"billing/{page}", target="high", when="now", reason="x").status_code == 403, page
    clerk.send("billing/subscription/", action="move_chosen", _selected_action=subscription.pk)
    assert BulkMove.objects.count() == 1
    clerk.may("billing.move_subscribers")
    assert "Moves of subscribers" in text_of(clerk.open("billing/subscription/"))
    assert clerk.open(f"billing/bulkmove/{move.pk}/go/").status_code == 200


def test_the_price_that_is_kept_stands_on_the_subscriptions_page(superuser: Staff, low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, timezone.now())
    begin(superuser, low, keeps_price="on")
    move = BulkMove.objects.get()
    superuser.send(f"billing/bulkmove/{move.pk}/go/")
    work.work_off(move, timezone.now)
    assert Subscription.objects.get(pk=subscription.pk).kept_price == 31
    assert "Kept price" in text_of(superuser.open(f"billing/subscription/{subscription.pk}/change/"))
