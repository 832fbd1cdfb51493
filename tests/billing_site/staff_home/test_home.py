"""The staff's home: each number by hand, and each leads to the list that has just those rows."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import Invoice, LimitOverride, Plan, Subscription
from billing_site.operations import last_beat
from billing_site.staff_home import figures
from billing_site.tasks import note_beat
from tests.billing.ledger import pay_in_full, schedule
from tests.billing.staff import text_of
from tests.cast import Customer, Staff
from tests.outages import no_redis, redis_gone
from usage.models import SetAsideEntry, WindowUsage
from usage.reports.present import near_quota, top_consumers

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
MOST_QUERIES = 25
"""Of a request whose figures no cache has, with the session, the person and the sidebar."""
CARD = re.compile(r'<a href="([^"]*)" class="home-number(.*?)</a>', re.DOTALL)


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    kept = [figures.KEY, figures.LOOKED_AT_KEY, last_beat.KEY]
    cache.delete_many(kept)
    yield
    cache.delete_many(kept)


def cards(staff: Staff) -> dict[str, tuple[str, str]]:
    """The value and the address behind it, by label."""
    found = {}
    for url, inner in CARD.findall(text_of(staff.open(""))):
        label, value, *_ = [
            " ".join(unescape(text).split()) for text in re.findall(r">([^<>]+?)<", inner) if text.strip()
        ]
        found[label] = (value, unescape(url))
    return found


def behind(staff: Staff, card: tuple[str, str]) -> int:
    """How many rows the list has that a number leads to."""
    response = staff.client.get(card[1])
    assert response.status_code == 200, card
    return int(response.context["cl"].result_count)


def use(customer: Customer, tokens: int) -> None:
    now = timezone.now()
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    WindowUsage.objects.create(account_id=customer.account, starts_at=start, ends_at=end, tokens=tokens, revision=1)


def test_money(superuser: Staff, bob: Customer, carol: Customer, alice: Customer) -> None:
    """Bob owes 29, Carol has paid 49."""
    pay_in_full(Invoice.objects.get(account=carol.account), timezone.now())
    shown = cards(superuser)
    assert shown["Recurring revenue a month"][0] == "78.00 USD"
    assert behind(superuser, shown["Recurring revenue a month"]) == 2, "Alice pays nothing"
    assert shown["Billed this month"][0] == "78.00 USD"
    assert behind(superuser, shown["Billed this month"]) == 2
    assert shown["Paid this month"][0] == "49.00 USD"
    assert behind(superuser, shown["Paid this month"]) == 1
    assert shown["Due on 1 invoice"][0] == "29.00 USD"
    assert behind(superuser, shown["Due on 1 invoice"]) == 1
    late = shown["Overdue invoices"]  # without a seller, who gives time to pay
    assert (late[0], behind(superuser, late)) == ("1", 1)


def test_a_void_invoice_is_not_behind_what_was_billed(superuser: Staff, bob: Customer, carol: Customer) -> None:
    credit_notes.void(Invoice.objects.get(account=bob.account), timezone.now())
    billed = cards(superuser)["Billed this month"]
    assert (billed[0], behind(superuser, billed)) == ("49.00 USD", 1)


def test_what_is_ahead_and_what_failed(
    superuser: Staff, alice: Customer, bob: Customer, carol: Customer, dave: Customer, erin: Customer
) -> None:
    """Bob's close failed, Carol's plan changes in three days, Dave is parked, Erin ends in two days; Alice renews."""
    now, rows = timezone.now(), Subscription.objects
    rows.filter(account=bob.account).update(period_ends_at=now - timedelta(hours=1))
    schedule(rows.get(account=carol.account), Plan.objects.get(code="starter"))
    in_three_days = now + timedelta(days=3)
    rows.filter(account=carol.account).update(period_ends_at=in_three_days, scheduled_at=in_three_days)
    rows.filter(account=dave.account).update(parked_at=now, parked_because="it looks wrong")
    in_two_days = now + timedelta(days=2)
    rows.filter(account=erin.account).update(period_ends_at=in_two_days, cancel_at=in_two_days)
    shown = cards(superuser)
    for label, count in (
        ("Failed closes", 1),
        ("Parked", 1),
        ("Renewals today", 0),
        ("Renewals in 7 days", 2),
        ("Changes of plan today", 0),
        ("Changes in 7 days", 1),
        ("Ending in 7 days", 1),
    ):
        assert (int(shown[label][0]), behind(superuser, shown[label])) == (count, count), label


def test_near_the_quota_by_the_rule_of_the_gateway(
    superuser: Staff, alice: Customer, bob: Customer, carol: Customer, dave: Customer
) -> None:
    """Bob at 80 % of his plan; Alice above hers, but with a raised limit; Carol's is unlimited, Dave's is lowered."""
    use(bob, 400)
    use(alice, 99)
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=1000)
    use(carol, 10_000)
    use(dave, 95)
    LimitOverride.objects.create(account=dave.user, limit="quota", maximum=100)
    now = timezone.now()
    assert [(used.account, used.percent) for used in near_quota(now)] == [(dave.account, 95), (bob.account, 80)]
    assert [used.account for used in top_consumers(now, 2)] == [carol.account, bob.account]
    shown = cards(superuser)["Near the quota"]
    assert (shown[0], behind(superuser, shown)) == ("2", 2)
    text = text_of(superuser.open(""))
    assert f"/admin/auth/user/{dave.account}/change/" in text


def test_the_machinery(superuser: Staff, alice: Customer) -> None:
    text = text_of(superuser.open(""))
    assert "not known" in text, "nobody has run beat"
    note_beat()
    SetAsideEntry.objects.create(shard=1, stream_id="1-0", payload=b"x", error="unreadable")
    shown, text = cards(superuser), text_of(superuser.open(""))
    assert re.search(r"\d s ago", text)
    assert "all well" in text
    assert shown["Set-aside entries"][0] == "1"
    assert shown["Failing deliveries"][0] == "0"


def test_without_redis_the_home_says_so(superuser: Staff, alice: Customer, redis_gone: None) -> None:
    text = text_of(superuser.open(""))
    assert "Redis is unreachable" in text
    assert "Redis does not answer" in text


def test_the_home_waits_for_no_redis_that_hangs(superuser: Staff, alice: Customer, settings: Any) -> None:
    """It is asked once, by the way that waits no longer than calls do."""
    settings.REDIS_TIMEOUT_MS = 200
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        no_redis(settings, f"redis://127.0.0.1:{silent.getsockname()[1]}/0"),
    ):
        assert "Redis is unreachable" in text_of(superuser.open(""))
        silent.setblocking(False)
        asked = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                asked += 1
    assert asked == 1


def test_few_queries_and_then_none(superuser: Staff, bob: Customer) -> None:
    use(bob, 450)
    superuser.open("")
    cache.delete(figures.KEY)
    with CaptureQueriesContext(connection) as cold:
        text_of(superuser.open(""))
    assert len(cold) <= MOST_QUERIES, "\n".join(query["sql"][:120] for query in cold)
    with CaptureQueriesContext(connection) as warm:
        assert "Figures as of" in text_of(superuser.open(""))
    assert len(warm) <= len(cold) - 10


def test_who_may_see_nothing_gets_the_plain_index(clerk: Staff, bob: Customer) -> None:
    text = text_of(clerk.open(""))
    assert "home-number" not in text
    clerk.may("billing.view_invoice")
    shown = cards(clerk)
    assert "Billed this month" in shown
    assert not {"Recurring revenue a month", "Parked", "Near the quota"} & shown.keys()
