"""Thresholds on the customer's page, and the end of notices by a link."""

from __future__ import annotations

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from billing.fence.models import CATALOGUE
from billing.mails import unsubscribing
from billing.members.rights import Role
from billing.models import Fence, Member, NoticeThreshold, Preferences
from billing.models.catalogue.notices import MOST_OWN
from tests.billing.forms import edit_plan
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db
PAGE = "/dashboard/notices/"


@pytest.fixture
def page(bob: Customer) -> Client:
    client = Client()
    client.force_login(bob.user)
    return client


def link(customer: Customer) -> str:
    return unsubscribing.address(customer.account).removeprefix("http://localhost:8000")


def own(customer: Customer) -> list[int]:
    return list(NoticeThreshold.objects.filter(account=customer.user).values_list("percent", flat=True))


class TestThresholds:
    def test_the_plans_are_shown_with_what_they_are_in_tokens(self, page: Client) -> None:
        shown = page.get(PAGE).text
        for part in ("80 %", ">400<", "100 %", ">500<", "plan Starter"):
            assert part in shown

    def test_one_is_added_and_removed(self, page: Client, bob: Customer) -> None:
        assert page.post(f"{PAGE}add/", {"percent": "50"})["Location"] == PAGE
        assert ">250<" in page.get(PAGE).text
        (row,) = NoticeThreshold.objects.filter(account=bob.user)
        assert page.post(f"{PAGE}{row.pk}/remove/").status_code == 302
        assert own(bob) == []

    @pytest.mark.parametrize("percent", ["0", "101", "-1", "1.5", "x", "", "1e9"])
    def test_nonsense_is_refused_at_the_field(self, page: Client, bob: Customer, percent: str) -> None:
        answer = page.post(f"{PAGE}add/", {"percent": percent})
        assert (answer.status_code, "errorlist" in answer.text) == (400, True)
        assert own(bob) == []

    def test_the_eleventh_is_refused_with_what_to_do(self, page: Client, bob: Customer) -> None:
        for percent in range(1, MOST_OWN + 1):
            page.post(f"{PAGE}add/", {"percent": str(percent)})
        answer = page.post(f"{PAGE}add/", {"percent": "50"})
        assert (answer.status_code, "Remove one first" in answer.text) == (400, True)
        assert len(own(bob)) == MOST_OWN

    def test_neither_anothers_nor_the_plans_can_be_removed(self, page: Client, alice: Customer) -> None:
        others = NoticeThreshold.objects.create(account=alice.user, percent=10)
        plans = NoticeThreshold.objects.filter(plan__code="starter").first()
        assert plans is not None
        for row in (others, plans):
            assert page.post(f"{PAGE}{row.pk}/remove/").status_code == 404
            assert NoticeThreshold.objects.filter(pk=row.pk).exists()

    def test_looking_adds_and_removes_nothing(self, page: Client, bob: Customer) -> None:
        row = NoticeThreshold.objects.create(account=bob.user, percent=10)
        for path in ("add/", f"{row.pk}/remove/"):
            assert page.get(f"{PAGE}{path}").status_code == 405

    def test_csrf_is_asked_for(self, bob: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(bob.user)
        assert client.post(f"{PAGE}add/", {"percent": "50"}).status_code == 403

    def test_a_plan_without_a_quota_says_so(self, carol: Customer) -> None:
        client = Client()
        client.force_login(carol.user)
        assert "Pro does not limit tokens" in client.get(PAGE).text

    def test_who_has_turned_notices_off_is_told(self, page: Client, bob: Customer) -> None:
        Preferences.objects.create(user=bob.user, notices=False)
        assert "You get no notices at the moment" in page.get(PAGE).text


class TestLink:
    def test_a_mail_program_posts_it_without_a_log_in(self, bob: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        answer = client.post(link(bob), {"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, Preferences.of(bob.account).notices) == (200, False)
        assert "no-store" in answer["Cache-Control"]

    def test_following_it_asks_first(self, bob: Customer) -> None:
        answer = Client().get(link(bob))
        assert "No more notices?" in answer.text and Preferences.of(bob.account).notices

    def test_it_can_be_taken_back_there_and_in_the_settings(self, page: Client, bob: Customer) -> None:
        Client().post(link(bob))
        Client().post(link(bob), {"again": "1"})
        assert Preferences.of(bob.account).notices
        Client().post(link(bob))
        page.post("/dashboard/settings/", {"language": "en", "time_zone": "UTC", "notices": "on"})
        assert Preferences.of(bob.account).notices

    def test_it_keeps_language_and_time_zone(self, bob: Customer) -> None:
        Preferences.objects.create(user=bob.user, language="de", time_zone="Europe/Berlin")
        assert '<html lang="de">' in Client().post(link(bob)).text
        assert str(Preferences.of(bob.account)) == "de, Europe/Berlin"

    def test_nobody_can_make_one(self, bob: Customer, alice: Customer) -> None:
        theirs = link(bob).replace(f"/{bob.account}:", f"/{alice.account}:")
        other_salt = f"/dashboard/unsubscribe/{signing.Signer(salt='x').sign(str(bob.account))}/"
        for path in (theirs, other_salt, "/dashboard/unsubscribe/1/", "/dashboard/unsubscribe/%00/"):
            assert Client().post(path).status_code == 404
        assert not Preferences.objects.exists()


def test_staff_edit_a_plans(superuser: Staff, bob: Customer) -> None:
    first, second = NoticeThreshold.objects.filter(plan__code="starter")
    before = Fence.objects.get(subject=CATALOGUE).changed
    rows = {
        "notice_thresholds-TOTAL_FORMS": 3,
        "notice_thresholds-INITIAL_FORMS": 2,
        "notice_thresholds-0-id": first.pk,
        "notice_thresholds-0-percent": 70,
        "notice_thresholds-1-id": second.pk,
        "notice_thresholds-1-percent": 100,
        "notice_thresholds-1-DELETE": "on",
        "notice_thresholds-2-percent": 50,
    }
    assert edit_plan(superuser, "starter", **rows).status_code == 302
    assert list(NoticeThreshold.objects.filter(plan__code="starter").values_list("percent", flat=True)) == [50, 70]
    assert Fence.objects.get(subject=CATALOGUE).changed > before, "so that every counter is looked at again"


def test_a_member_reads_to_whom_they_go(page: Client, bob: Customer, alice: Customer) -> None:
    Member.objects.create(account=bob.user, user=alice.user, role=Role.VIEWER, created_at=timezone.now())
    client = Client()
    client.force_login(alice.user)
    client.post("/dashboard/members/act-for/", {"account": bob.account})
    shown = client.get(PAGE).text
    assert "They go to bob" in shown and ">400<" in shown
    assert client.post(f"{PAGE}add/", {"percent": "50"}).status_code == 403
