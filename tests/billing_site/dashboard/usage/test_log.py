"""The usage log on the dashboard: filters, pages, the same rows as a file, and refused calls by reason."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ApiKey, Preferences
from tests.billing.metered import use
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.usage.ingest.reporting import reported
from usage.drain import drain
from usage.ingest.record import ingest
from usage.metering import refused_calls
from usage.models import RefusedCalls

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def rows(page: str) -> list[list[str]]:
    """Of the table of charged calls, without their time."""
    part = page.split('id="calls-title"', 1)[1].split("</section>", maxsplit=1)[0]
    found = re.findall(r"<tr><th scope=\"row\">.*?</tr>", part, re.S)
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.S)] for row in found]


def file(person: Person, query: str = "") -> list[list[str]]:
    answer = person.client.get(f"/dashboard/usage/export/{query}")
    assert answer.status_code == 200 and answer["Content-Type"] == "text/csv; charset=utf-8"
    return [*csv.reader(io.StringIO(answer.getvalue().decode(), newline=""))]


def test_nothing_yet_says_what_to_do(bob_there: Person) -> None:
    page = bob_there.open("usage/")
    assert "No call was charged in these days" in page and "No call was refused in these days" in page


def test_charges_and_voids_with_their_key(bob: Customer, bob_there: Person) -> None:
    bob.api.get("/api/v1/trace/start")
    bob.api.get("/api/v1/graph/nodes")
    drain.drain()
    prefix = ApiKey.objects.get(account=bob.account).prefix
    assert rows(bob_there.open("usage/")) == [
        ["graph_query", "Charge", "3", f"{prefix}…"],
        ["trace_start", "Charge", "10", f"{prefix}…"],
    ]


def test_what_was_reported_says_so(bob: Customer, bob_there: Person) -> None:
    now = timezone.now()
    ingest([reported(bob.account, now, metadata={"region": "eu"})], "", now)
    assert rows(bob_there.open("usage/")) == [["trace_start", "Charge", "10", "reported"]]
    (_, row) = file(bob_there)
    assert row[2:7] == ["charge", "trace_start", "10", "events", ""]


@pytest.mark.parametrize(
    ("query", "features"),
    [
        ("?feature=trace_start", ["trace_start"]),
        ("?kind=void", []),
        ("?kind=charge", ["graph_query", "trace_start"]),
        ("?key={prefix}", ["graph_query", "trace_start"]),
        ("?to=2020-01-31", []),
        ("?from={today}&to={today}&feature=", ["graph_query", "trace_start"]),
    ],
)
def test_filters_hold_for_page_and_file(bob: Customer, bob_there: Person, query: str, features: list[str]) -> None:
    bob.api.get("/api/v1/trace/start")
    bob.api.get("/api/v1/graph/nodes")
    drain.drain()
    prefix, today = ApiKey.objects.get(account=bob.account).prefix, datetime.now(UTC).date()
    query = query.format(prefix=prefix, today=today)
    assert [feature for feature, *_ in rows(bob_there.open(f"usage/{query}"))] == features
    assert [row[3] for row in file(bob_there, query)[1:]] == features


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?from=2026-02-02&to=2026-02-01", "This is after the last day."),
        ("?from=2020-01-01&to=2026-02-01", "At most a year can be shown at once."),
        ("?from=yesterday", "Enter a valid date."),
        ("?to=9999-12-31", "Nothing was or can be charged in that year."),
        ("?to=0001-01-01", "Nothing was or can be charged in that year."),
        ("?feature=%00", "Select a valid choice"),
        ("?kind=refused", "Select a valid choice"),
        ("?key=ABCDEFGH", "Select a valid choice"),
    ],
)
def test_what_cannot_be_shown_is_said_at_the_field(bob_there: Person, query: str, says: str) -> None:
    for path in ("usage/", "usage/export/"):
        answer = bob_there.client.get(f"/dashboard/{path}{query}")
        assert answer.status_code == 400 and says in unescape(answer.text)


def test_a_cursor_that_was_made_up_leads_to_the_first_page(bob_there: Person) -> None:
    for cursor in ("x", "WzEsMl0=", "%00"):
        answer = bob_there.client.get(f"/dashboard/usage/?cursor={cursor}", follow=True)
        assert "This is the first." in answer.text


def test_pages_go_forth_and_back_without_gap(bob: Customer, bob_there: Person, monkeypatch: Any) -> None:
    now = datetime.now(UTC)
    for n in range(1, 8):
        use(bob.account, n, now - timedelta(seconds=60 - n))
    monkeypatch.setattr("usage.api.report_views.LogPages.page_size", 3)
    seen, query, queries = [], "", []
    while True:
        page = bob_there.open(f"usage/?{query}")
        seen += [row[2] for row in rows(page)]
        queries.append(query)
        older = re.search(r'href="\?([^"]+)" rel="next"', page)
        if older is None:
            break
        query = unescape(older[1])
    assert seen == ["7", "6", "5", "4", "3", "2", "1"] and len(queries) == 3
    newer = re.search(r'href="\?([^"]+)" rel="prev"', page)
    assert newer is not None
    assert [row[2] for row in rows(bob_there.open(f"usage/?{unescape(newer[1])}"))] == ["4", "3", "2"]
    assert len(file(bob_there)) == 8


def test_days_are_the_persons(bob: Customer, bob_there: Person) -> None:
    Preferences.objects.create(user=bob.user, time_zone="Pacific/Auckland")
    use(bob.account, 5, datetime(2026, 3, 1, 13, tzinfo=UTC))  # 2 March there
    assert [row[2] for row in rows(bob_there.open("usage/?from=2026-03-02&to=2026-03-02"))] == ["5"]
    assert file(bob_there, "?from=2026-03-02&to=2026-03-02")[1][0] == "2026-03-01T13:00:00.000000Z"
    assert rows(bob_there.open("usage/?from=2026-03-01&to=2026-03-01")) == []


def test_a_file_runs_nothing(bob: Customer, bob_there: Person) -> None:
    answer = bob.post("/api/v1/usage/track", {"feature": "trace_start", "metadata": {"note": "=cmd()"}})
    assert answer.status_code == 200
    bob_there.client.logout()
    bob_there.client.force_login(bob.user)
    drain.drain()
    heading, row = file(bob_there)
    assert heading[-1] == "metadata" and row[-1] == '{"note": "=cmd()"}' and row[4] == "10"


def test_anothers_calls_are_not_there(bob: Customer, carol: Customer, bob_there: Person) -> None:
    carol.api.get("/api/v1/trace/start")
    carol.api.get("/api/v1/agent/query")
    drain.drain()
    refused_calls.flush()
    assert RefusedCalls.objects.filter(account_id=carol.account).exists()
    page = bob_there.open("usage/")
    assert rows(page) == [] and "Not part of the plan" not in page and len(file(bob_there)) == 1
    theirs = ApiKey.objects.get(account=carol.account).prefix
    assert bob_there.client.get(f"/dashboard/usage/?key={theirs}").status_code == 400


def test_refused_calls_by_day_and_reason(bob: Customer, bob_there: Person) -> None:
    for _ in range(3):
        bob.api.get("/api/v1/agent/query")
    refused_calls.flush()
    page = bob_there.open("usage/")
    assert "Not part of the plan" in page and ">ai_agent_query<" in page and '<td class="number">3</td>' in page
    assert "No call was refused" in bob_there.open("usage/?feature=trace_start")
