"""What agents hold and have cost, at the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from billing.models import Preferences
from tests.billing_site.dashboard.conftest import Person, text
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import redis_gone
from tests.usage.metering.reservations.held import heartbeat, reserve, settle
from usage.drain import drain
from usage.metering.reservations import sweep
from usage.models import Reservation
from usage.reports import reservations

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
SOME_ID = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def part(page: str, name: str) -> str:
    """A section of the page as it is read."""
    return text(page.split(f'aria-labelledby="{name}-title"', 1)[1].split("</section>", maxsplit=1)[0])


def made(account: int, **values: Any) -> Reservation:
    """A row as the drain leaves one behind."""
    now = timezone.now()
    usual = {"feature": "ai_agent_query", "bound": 9, "opened_at": now, "expires_at": now + timedelta(minutes=5)}
    return Reservation.objects.create(id=uuid4(), account_id=account, **usual | values)


def ended(account: int, charged: int = 0, **values: Any) -> Reservation:
    usual = {"state": "settled", "charged": charged, "uncollected": 0, "finished_at": timezone.now()}
    return made(account, **usual | values)


def test_nothing_yet_says_how_to_begin(bob_there: Person) -> None:
    page = bob_there.open("agents/")
    assert "No tokens were reserved in the last 30 days" in text(page)
    assert 'href="/api/docs"' in page and 'href="/api/v1/models"' in page
    assert "open-title" not in page


def test_from_a_call_to_its_end(bob: Customer, bob_there: Person) -> None:
    held = reserve(bob, 9, run="r-81")
    reserve(bob, 7, run="r-82")
    drain.drain()
    page = bob_there.open("agents/")
    assert "Open reservations 2" in part(page, "open")
    assert "r-81 trace_start –" in part(page, "open") and "less than a minute 9" in part(page, "open")
    settle(held, 4)
    drain.drain()
    page = bob_there.open("agents/")
    assert "Open reservations 1" in part(page, "open") and "r-81" not in part(page, "open")
    rows = part(page, "runs")
    assert "r-81" in rows and rows.index("r-82") < rows.index("r-81"), "the newest is the first"
    assert rows.endswith("stand in the usage log.")
    assert "every reservation was settled or released in time" in text(page)


def test_a_heartbeat_prolongs_what_is_shown(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        held = reserve(bob, 9, expires_in=60)
        clock.tick(50)
        heartbeat(held, 3)
        drain.drain()
        clock.tick(20)
        assert 'datetime="2031-03-05T12:01:50+00:00"' in at_dashboard(bob.user).open("agents/")


def test_without_redis_it_is_shown_as_it_was_opened(bob: Customer, bob_there: Person, redis_gone: None) -> None:
    made(bob.account, run="r-1")
    assert "r-1" in part(bob_there.open("agents/"), "open")


def test_what_nobody_settled_and_what_nobody_pays(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    with moved_by_hand() as clock:
        reserve(bob, 9, expires_in=60, run="broken")
        over = reserve(bob, 400, run="greedy", expires_in=600)
        clock.tick(61)
        assert sweep.expire_due(timezone.now()) == 1
        settle(over, 503)
        drain.drain()
        lost = part(at_dashboard(bob.user).open("agents/"), "lost")
    assert "Expired 0 0 broken trace_start – 9" in lost
    assert "Uncollected 500 3 greedy trace_start – 400" in lost
    assert "should settle or release each reservation" in lost and "You do not pay for these tokens" in lost


def test_only_the_accounts_own(bob: Customer, carol: Customer, bob_there: Person) -> None:
    made(carol.account, run="hers")
    ended(carol.account, run="hers", state="expired")
    assert "hers" not in bob_there.open("agents/")


def test_what_is_open_comes_in_pages(bob: Customer, bob_there: Person) -> None:
    now = timezone.now()
    for number in range(60):
        made(bob.account, run=f"run-{number:02}", opened_at=now - timedelta(seconds=number))
    first, last = bob_there.open("agents/"), bob_there.open("agents/?page=3")
    assert "run-00" in part(first, "open") and "run-25" not in part(first, "open")
    assert "run-50" in part(last, "open") and "run-59" in part(last, "open")
    assert bob_there.open("agents/?page=x") and bob_there.open("agents/?page=999")


def test_german(bob: Customer, bob_there: Person) -> None:
    Preferences.objects.create(user=bob.user, language="de")
    ended(bob.account, run="r-1", charged=12_345)
    page = bob_there.open("agents/")
    assert "Läufe der letzten 30 Tage" in page and "12.345" in page


class TestRuns:
    SINCE = timedelta(days=30)

    def test_each_once_over_all_pages_with_all_its_calls(self, bob: Customer) -> None:
        """Runs overlap in time, and some of their calls have one instant."""
        now = timezone.now()
        for number in range(230):
            ended(bob.account, 2, run=f"run-{number % 46}", opened_at=now - timedelta(milliseconds=number // 3))
        found, after, pages = [], None, 0
        while pages == 0 or after is not None:
            runs, after = reservations.runs(bob.account, now - self.SINCE, after)
            found += runs
            pages += 1
        assert (len(found), len({run.name for run in found}), pages) == (46, 46, 3)
        assert {(run.calls, run.cost) for run in found} == {(5, 10)}
        assert [run.last_at for run in found] == sorted((run.last_at for run in found), reverse=True)

    def test_sums(self, bob: Customer) -> None:
        now = timezone.now()
        ended(bob.account, 5, run="r", uncollected=2)
        ended(bob.account, 1, run="r", state="expired")
        ended(bob.account, 0, run="r", state="released")
        made(bob.account, run="r", bound=40)
        ended(bob.account, 99, run="r", opened_at=now - timedelta(days=31))
        ended(bob.account, 99, run="")
        (run,) = reservations.runs(bob.account, now - self.SINCE).runs
        assert (run.calls, run.cost, run.held, run.uncollected, run.open, run.expired) == (4, 6, 40, 2, 1, 1)

    def test_calls_without_a_run_between_do_not_end_the_list(
        self, bob: Customer, bob_there: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reservations, "LOOKED_AT", 3)
        now = timezone.now()
        for number in range(5):
            ended(bob.account, opened_at=now - timedelta(seconds=number))
        ended(bob.account, 4, run="old", opened_at=now - timedelta(minutes=1))
        first = bob_there.open("agents/")
        assert "None of the newest calls names a run." in text(first)
        older = first.split("?after=")[1].split('"')[0].replace("&amp;", "&")
        assert "old" in part(bob_there.open(f"agents/?after={older}"), "runs")

    @pytest.mark.parametrize(
        "given",
        ["", "x", "2031-01-01T00:00:00Z", "2031-01-01T00:00:00,x", "\0,", ",019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"],
    )
    def test_a_place_that_no_page_led_to(self, bob_there: Person, given: str) -> None:
        answer = bob_there.client.get("/dashboard/agents/", {"after": given}, follow=True)
        assert "That page is not there any more" in answer.text
