"""Reservations in the admin: found, added up, and ended where nobody else ends them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.utils import timezone

from billing_site.staff_home import figures
from tests.billing.staff import text_of, told
from tests.cast import Customer, Staff
from tests.clock import moved_by_hand
from tests.outages import redis_gone
from tests.usage.metering.reservations.held import again, counted, heartbeat, reserve, row, settle
from usage import roles
from usage.drain import drain
from usage.metering.reservations import sweep
from usage.models import Reservation

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
LIST = "usage/reservation/"


def made(account: int, **values: Any) -> Reservation:
    now = timezone.now()
    usual = {"feature": "ai_agent_query", "bound": 9, "opened_at": now, "expires_at": now + timedelta(minutes=5)}
    return Reservation.objects.create(id=uuid4(), account_id=account, **usual | values)


def ended(account: int, **values: Any) -> Reservation:
    usual = {"state": "settled", "charged": 4, "uncollected": 0, "finished_at": timezone.now()}
    return made(account, **usual | values)


def listed(staff: Staff, query: str = "") -> list[str]:
    return [each.run for each in staff.open(f"{LIST}{query}").context["cl"].result_list]


def member(role: str) -> Staff:
    roles.make(apps)
    user = User.objects.create_user(f"the-{role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return Staff(user)


class TestList:
    def test_what_is_found_by_what(self, superuser: Staff, alice: Customer, bob: Customer) -> None:
        now = timezone.now()
        late = made(bob.account, run="late", expires_at=now + timedelta(minutes=9))
        made(bob.account, run="soon")
        ended(alice.account, run="r-81", state="expired", finished_at=now - timedelta(days=2))
        ended(alice.account, run="greedy", uncollected=5)
        assert set(listed(superuser)) == {"late", "soon", "r-81", "greedy"}
        assert listed(superuser, "?state=open") == ["soon", "late"], "the one that ends first is the first"
        assert listed(superuser, "?state=expired") == ["r-81"]
        assert listed(superuser, "?uncollected=yes") == ["greedy"]
        assert listed(superuser, f"?finished_at__from={now:%Y-%m-%d}&uncollected=yes") == ["greedy"]
        assert listed(superuser, "?q=r-81") == ["r-81"]
        assert listed(superuser, "?q=r-8") == []
        assert listed(superuser, f"?q={late.pk}") == ["late"]
        assert set(listed(superuser, f"?q={bob.user.username}")) == {"late", "soon"}
        assert set(listed(superuser, f"?account__id__exact={alice.account}")) == {"r-81", "greedy"}
        for odd in ("?q=%00", "?state=x", "?uncollected=x", "?q=" + "9" * 40):
            assert superuser.open(f"{LIST}{odd}").status_code in (200, 302)

    def test_what_is_filtered_is_added_up_and_a_file(self, superuser: Staff, bob: Customer) -> None:
        ended(bob.account, run="a", charged=4, uncollected=2)
        ended(bob.account, run="b", charged=1_000, uncollected=3)
        totals = superuser.open(f"{LIST}?uncollected=yes").context["cl"].totals
        assert [(total.name, total.amount) for total in totals] == [
            ("bound", "18"),
            ("charged", "1,004"),
            ("uncollected", "5"),
        ]
        answer = superuser.open(f"{LIST}?_csv=1")
        assert len(b"".join(answer.streaming_content).decode().splitlines()) == 3

    def test_lists_ask_what_an_index_answers(self, superuser: Staff, bob: Customer) -> None:
        made(bob.account)
        orders = {
            query: superuser.open(f"{LIST}{query}").context["cl"].queryset.query.order_by
            for query in ("", "?state=open", "?state=expired", "?uncollected=yes")
        }
        assert orders == {
            "": ("-pk",),
            "?state=open": ("expires_at", "pk"),
            "?state=expired": ("-finished_at", "pk"),
            "?uncollected=yes": ("-finished_at", "pk"),
        }


class TestEnd:
    def end(self, staff: Staff, reservation: Reservation) -> str:
        page = f"/admin/{LIST}{reservation.pk}/end/"
        assert "last heartbeat" in text_of(staff.client.get(page))
        return told(staff.client.post(page, follow=True))

    def test_by_its_last_heartbeat(self, superuser: Staff, bob: Customer) -> None:
        held = reserve(bob, 9)
        heartbeat(held, 4)
        assert "settled, 4 charged, 5 given back" in self.end(superuser, row(held))
        assert counted(bob) == (4, 4)
        shown = Reservation.objects.get(pk=held.id)
        assert (shown.state, shown.charged, shown.estimated) == ("settled", 4, True)
        page = text_of(superuser.open(f"{LIST}{held.id}/change/"))
        assert "/end/" not in page
        assert "charged 4" in text_of(superuser.open(f"{LIST}{held.id}/history/"))

    def test_for_nothing_without_a_heartbeat(self, superuser: Staff, bob: Customer) -> None:
        held = reserve(bob, 9)
        assert "0 charged, 9 given back" in self.end(superuser, row(held))
        assert counted(bob) == (0, 0)

    def test_one_that_was_due(self, superuser: Staff, bob: Customer) -> None:
        held = reserve(bob, 9, expires_in=60)
        found = row(held)
        with moved_by_hand() as clock:
            clock.tick(61)
            staff = Staff(superuser.user)
            assert "expired, 0 charged" in self.end(staff, found)

    def test_one_that_has_ended_meanwhile(self, superuser: Staff, bob: Customer) -> None:
        held = reserve(bob, 9)
        found = row(held)
        settle(again(held), 7)
        assert "It was settled before, and charged 7 tokens" in self.end(superuser, found)
        assert counted(bob) == (7, 7)

    def test_children_first(self, superuser: Staff, bob: Customer) -> None:
        held = reserve(bob, 9)
        reserve(bob, 3, parent=held.id)
        assert "1 of its children are open" in self.end(superuser, row(held))

    def test_without_redis(self, superuser: Staff, bob: Customer, redis_gone: None) -> None:
        found = made(bob.account)
        assert "cannot be ended at the moment" in self.end(superuser, found)

    def test_who_may(self, bob: Customer) -> None:
        found = made(bob.account)
        for role, status in ((roles.SUPPORT, 200), (roles.BILLING, 403), (roles.AUDITOR, 403), (roles.CATALOGUE, 403)):
            staff = member(role)
            assert staff.open(f"{LIST}{found.pk}/end/").status_code == status, role
            assert staff.open(LIST).status_code == (403 if role == roles.CATALOGUE else 200), role


def test_until_when_it_is_held_is_asked_of_redis(superuser: Staff, bob: Customer) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        held = reserve(bob, 9, expires_in=60)
        clock.tick(50)
        heartbeat(held, 3)
        found = row(held)
        assert "12:01:50" in text_of(Staff(superuser.user).open(f"{LIST}{found.pk}/change/"))


def test_a_customers_page_has_what_is_open_and_what_went_wrong(superuser: Staff, bob: Customer) -> None:
    made(bob.account, run="going-on")
    ended(bob.account, run="all-well")
    ended(bob.account, run="lost", state="expired")
    text = text_of(superuser.open(f"auth/user/{bob.account}/part/usage/"))
    assert "going-on" in text and "lost" in text and "all-well" not in text


def test_the_home_counts_them_and_leads_to_the_same(superuser: Staff, bob: Customer) -> None:
    cache.delete(figures.KEY)
    now = timezone.now()
    made(bob.account)
    made(bob.account)
    ended(bob.account, state="expired")
    ended(bob.account, state="expired", finished_at=now - timedelta(days=1, hours=1))
    ended(bob.account, uncollected=1_200)
    groups = dict(superuser.open("").context["groups"])
    numbers = {number.label: number for number in groups["Agents"]}
    assert {label: (number.value, number.tone) for label, number in numbers.items()} == {
        "Open reservations": ("2", ""),
        "Expired today": ("1", "bad"),
        "Uncollected this month": ("1,200", ""),
    }
    behind = {label: superuser.client.get(number.url).context["cl"].result_count for label, number in numbers.items()}
    assert behind == {"Open reservations": 2, "Expired today": 1, "Uncollected this month": 1}
    cache.delete(figures.KEY)


def test_expired_by_the_sweep_stands_in_the_list(superuser: Staff, bob: Customer) -> None:
    with moved_by_hand() as clock:
        reserve(bob, 9, expires_in=60, run="broken")
        clock.tick(61)
        sweep.expire_due(timezone.now())
        drain.drain()
        assert listed(Staff(superuser.user), "?state=expired") == ["broken"]
