"""The overview: what is used, due and next, at a bounded cost, and at none for the account."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.catalogue import in_memory
from billing.models import Invoice, Member, Plan, Preferences, Subscription
from billing.subscriptions import canceling
from ratelimit.store import client
from tests.billing.ledger import pay_in_full, schedule
from tests.billing.metered import make_metered, use
from tests.billing_site.dashboard.conftest import Person, text
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.factories import make_seller
from tests.redis_commands import redis_commands
from usage.drain import drain
from usage.models import DailyUsage, WindowUsage

pytestmark = pytest.mark.django_db
MOST_QUERIES = 12


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def chart(page: str) -> Any:
    found = re.search(r'<script id="days-data" type="application/json">(.*?)</script>', page, re.S)
    return found and json.loads(found[1])


def a_year_of(account: int, window_start: datetime) -> None:
    yesterday = timezone.now().date() - timedelta(days=1)
    DailyUsage.objects.bulk_create(
        DailyUsage(account_id=account, date=yesterday - timedelta(days=n), feature=feature, tokens=5, calls=1)
        for n in range(365)
        for feature in ("trace_start", "graph_query", "risk_score", "wallet_scan")
    )
    start = window_start
    for _ in range(12):
        end, start = start, (start - timedelta(days=1)).replace(day=1)
        WindowUsage.objects.create(account_id=account, starts_at=start, ends_at=end, tokens=600, revision=1)


def test_a_new_customer_is_told_what_to_do(alice: Customer, at_dashboard: Callable[..., Person]) -> None:
    page = at_dashboard(alice.user).open("")
    read = text(page)
    assert "0 of 100" in read and "100 tokens left" in read and "0 of 10" in read and "All invoices are paid." in read
    assert "Make a first call" in read and chart(page) is None


def test_used_and_left_of_quota_and_minute(bob: Customer, bob_there: Person) -> None:
    bob.api.get("/api/v1/trace/start")
    page = bob_there.open("")
    assert 'aria-valuemax="500" aria-valuenow="10" aria-valuetext="10 of 500 tokens used"' in page
    assert 'aria-valuemax="30" aria-valuenow="1"' in page and "490 tokens left" in text(page)
    assert "10 of 500" in text(bob_there.open("standing/"))


def test_numbers_in_attributes_are_no_languages(bob: Customer, bob_there: Person) -> None:
    Preferences.objects.create(user=bob.user, language="de")
    Plan.objects.filter(code="starter").update(monthly_token_quota=12_345)
    for _ in range(2):
        bob.api.get("/api/v1/risk/score")
    page = bob_there.open("")
    assert 'aria-valuemax="12345"' in page and "12.345" in page and 'width="0.0%"' in page


def test_an_unlimited_quota_has_no_gauge(carol: Customer, at_dashboard: Callable[..., Person]) -> None:
    page = at_dashboard(carol.user).open("")
    assert 'aria-labelledby="quota-title" aria-valuemin' not in page and "unlimited" in page


def test_above_the_quota_is_told_apart(customer: Callable[..., Customer], at_dashboard: Callable[..., Person]) -> None:
    make_metered(monthly_token_quota=10, overage_cap_tokens=20, requests_per_minute=100)
    eve = customer("eve", "metered")
    for _ in range(2):
        eve.api.get("/api/v1/trace/start")
    there = at_dashboard(eve.user)
    read = text(there.open(""))
    assert "The quota is used up." in read and "10 tokens above the quota: $0.01." in read
    assert "Calls go on for 10 tokens above it." in read
    eve.api.get("/api/v1/trace/start")
    page = there.open("")
    assert "Your limit for tokens above it is reached" in page and "Get more tokens" in page
    assert 'class="used" width="33.3%"' in page and 'class="above" x="33.3%" width="66.7%"' in page


def test_days_of_both_windows_by_feature(bob: Customer, bob_there: Person) -> None:
    bob.api.get("/api/v1/trace/start")
    drain.drain()
    today = datetime.now(UTC).date()
    start = WindowUsage.objects.get(account_id=bob.account).starts_at
    before = start - timedelta(days=3)
    WindowUsage.objects.create(account_id=bob.account, starts_at=before, ends_at=start, tokens=7, revision=1)
    DailyUsage.objects.create(account_id=bob.account, date=before.date(), feature="graph_query", tokens=7, calls=1)
    page = bob_there.open("")
    data = chart(page)
    assert data["present"] == 3 and len(data["labels"]) == 3 + (today - start.date()).days + 1
    assert [each["label"] for each in data["series"]] == ["trace_start", "graph_query"]
    assert data["series"][0]["data"][-1] == 10 and data["series"][1]["data"][0] == 7
    assert '<th scope="rowgroup">This window</th>' in page and '<th scope="rowgroup">Last window</th>' in page
    assert chart(bob_there.open("days/")) == data


@pytest.mark.parametrize(
    ("plan", "tokens", "says"),
    [
        ("starter", 400, "At this pace the quota ends on 13 Mar 2031."),
        ("starter", 10, "At this pace 31 tokens are used by 1 Apr 2031."),
        ("pro", 400, "At this pace 1,240 tokens are used by 1 Apr 2031."),
        ("starter", 500, ""),
    ],
)
def test_a_forecast_in_a_sentence(
    customer: Callable[..., Customer], at_dashboard: Callable[..., Person], plan: str, tokens: int, says: str
) -> None:
    with moved_by_hand("2031-03-01T00:00:00Z") as clock:
        eve = customer("eve", plan)
        for day in range(1, 11):
            use(eve.account, tokens // 10, datetime(2031, 3, day, 12, tzinfo=UTC))
        clock.move_to("2031-03-11T00:00:00Z")
        there = at_dashboard(eve.user)
        for path in ("", "standing/"):
            read = text(there.open(path))
            assert says in read and ("At this pace" in read) == bool(says)


def test_what_is_due_and_when(bob: Customer, bob_there: Person) -> None:
    make_seller()
    invoice = Invoice.objects.get(account=bob.account)
    page = bob_there.open("")
    assert "$29.00" in page and f"/dashboard/billing/invoices/{invoice.number}/" in page
    pay_in_full(invoice, timezone.now())
    assert "All invoices are paid." in bob_there.open("")


def test_calls_that_the_days_do_not_have_yet_are_not_denied(bob: Customer, bob_there: Person) -> None:
    assert "Nothing was used" in bob_there.open("")
    call(bob, "trace_start")
    for path in ("", "days/"):
        assert "The tokens of your first calls stand here in a moment." in bob_there.open(path)
    drain.drain()
    assert "Nothing was used" not in bob_there.open("") and "trace_start" in bob_there.open("days/")


def test_what_comes_next(bob: Customer, bob_there: Person) -> None:
    assert "The next invoice is $29.00." in text(bob_there.open(""))
    schedule(Subscription.objects.get(account=bob.account), Plan.objects.get(code="community"))
    assert "Community follows on" in text(bob_there.open(""))


def test_an_end_is_told(bob: Customer, bob_there: Person) -> None:
    canceling.cancel(bob.account, timezone.now(), "")
    read = text(bob_there.open(""))
    assert "It ends on" in read and "Then Community follows." in read and "The next invoice" not in read


def test_looking_costs_no_request_and_writes_nothing(bob: Customer, bob_there: Person) -> None:
    bob.api.get("/api/v1/trace/start")
    keys = sorted(client().keys("{*"))
    before = [client().dump(key) for key in keys]
    with redis_commands() as commands:
        for _ in range(3):
            for path in ("", "standing/", "days/"):
                bob_there.open(path)
    assert sorted(client().keys("{*")) == keys and [client().dump(key) for key in keys] == before
    assert set(commands) <= {"EVALSHA"} and len(commands) == 9
    assert bob.api.get("/api/v1/usage/current")["X-RateLimit-Remaining"] == "28"


def test_at_most_12_queries_with_a_year_of_history(bob: Customer, bob_there: Person) -> None:
    _a_year_behind(bob)
    for path, most in (("", MOST_QUERIES), ("standing/", 5), ("days/", 5)):
        _asks_at_most(bob_there, path, most)


def test_at_most_12_queries_for_who_acts_for_another(
    alice: Customer, bob: Customer, at_dashboard: Callable[..., Person]
) -> None:
    _a_year_behind(bob)
    Member.objects.create(account=bob.user, user=alice.user, role="viewer", created_at=timezone.now())
    there = at_dashboard(alice.user)
    there.send("members/act-for/", account=bob.account)
    assert "of 500" in text(there.open(""))
    _asks_at_most(there, "", MOST_QUERIES)


def _a_year_behind(customer: Customer) -> None:
    customer.api.get("/api/v1/trace/start")
    drain.drain()
    a_year_of(customer.account, WindowUsage.objects.get(account_id=customer.account).starts_at)
    make_seller()


def _asks_at_most(person: Person, path: str, most: int) -> None:
    person.open(path)  # a process knows the account from its first call on
    in_memory._catalogue_checked = 0.0  # and compares its catalogue once a second
    with CaptureQueriesContext(connection) as seen:
        person.open(path)
    assert len(seen) <= most, "\n".join(query["sql"][:300] for query in seen)
    assert not any("usage_usagelog" in query["sql"] for query in seen)
