"""POST /usage/track: charge a call made elsewhere, minute and tokens in one decision."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection

from billing.models import LimitOverride
from tests.cast import Customer
from tests.contract import PROBLEM, QUOTA_MEMBERS, left, problem
from usage.drain import drain
from usage.models import SetAsideEntry, UsageLog

pytestmark = pytest.mark.django_db


def track(customer: Customer, feature: str = "risk_score", **metadata: Any) -> Any:
    return customer.post("/api/v1/usage/track", {"feature": feature, "metadata": metadata})


def test_what_it_answers(alice: Customer) -> None:
    for _ in range(8):
        track(alice, "trace_start")
    track(alice, "trace_expand")
    response = track(alice, "trace_expand")
    body = response.json()
    event = body.pop("event")
    assert body == {
        "tokens_used": 5,
        "tokens_total": 90,
        "tokens_remaining": 10,
        "overage": None,
        "quota_exceeded": False,
    }
    assert uuid.UUID(event).version == 7
    assert (response["X-Usage-Event"], response["X-Usage-Cost"]) == (event, "5")
    assert left(response) == {"minute": 0, "quota": 10}


def test_on_an_unlimited_plan(carol: Customer) -> None:
    assert track(carol).json()["tokens_remaining"] == "unlimited"


def test_the_charge_is_in_the_log_with_its_metadata(bob: Customer) -> None:
    metadata = {"text": "ä😀\u2028", "number": 10**30, "half": 0.5, "none": None, "deep": {"a": [1, {"b": []}]}}
    event = track(bob, "trace_start", **metadata).json()["event"]
    drain.drain()
    row = UsageLog.objects.get(id=event)
    assert (row.kind, row.source, row.feature, row.tokens) == ("charge", "track", "trace_start", 10)
    assert (row.metadata, row.account_id, row.key_prefix) == (metadata, bob.account, bob.key.partition(".")[0][-8:])


def test_metadata_may_be_left_out_but_not_be_anything(bob: Customer) -> None:
    assert bob.post("/api/v1/usage/track", {"feature": "risk_score"}).status_code == 200
    for value in (None, [], "text", 1, True):
        response = bob.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": value})
        assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == ["metadata"]


@pytest.mark.parametrize(("size", "status"), [(4095, 200), (4096, 200), (4097, 400)])
@pytest.mark.parametrize("letter", ["x", "ä", '"'])
def test_metadata_up_to_4_kb(bob: Customer, size: int, status: int, letter: str) -> None:
    """In bytes of UTF-8, as JSON without spaces."""
    each = {"x": 1, "ä": 2, '"': 2}[letter]
    room = size - len('{"a":""}')
    text = letter * (room // each) + "x" * (room % each)
    response = track(bob, "trace_start", a=text)
    assert response.status_code == status
    assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == (10 if status == 200 else 0)


@pytest.mark.parametrize(("number", "each"), [(1e300, 301), (-1e300, 302), (1e-300, 302), (0.5, 3), (10**30, 31)])
@pytest.mark.parametrize("more", [False, True])
def test_numbers_count_with_the_digits_that_are_kept(bob: Customer, number: float, each: int, more: bool) -> None:
    count = (4096 - len('{"a":[]}') + 1) // (each + 1) + more
    response = track(bob, "trace_start", a=[number] * count)
    if more:
        (told,) = problem(response, 400, "invalid", {"errors"})["errors"]["metadata"]
        assert ("with all digits of its numbers" in told) is ("e" in repr(number))
    else:
        assert response.status_code == 200
        drain.drain()
        with connection.cursor() as cursor:
            cursor.execute("SELECT length(replace(metadata::text, ' ', '')) FROM usage_usagelog")
            assert 4096 - each - 1 <= cursor.fetchone()[0] <= 4096


@pytest.mark.parametrize(
    ("value", "status"),
    [("\x00", 400), ({"\x00": 1}, 400), ([["a\x00b"]], 400), ("\\u0000", 200), ("\\\\u0000", 200), ("\u0001", 200)],
)
def test_what_postgresql_cannot_hold_is_refused_before_it_is_charged(bob: Customer, value: Any, status: int) -> None:
    response = track(bob, "trace_start", a=value)
    assert response.status_code == status
    assert left(response)["quota"] == (490 if status == 200 else 500)
    drain.drain()
    assert SetAsideEntry.objects.count() == 0
    assert [row.metadata for row in UsageLog.objects.all()] == ([{"a": value}] if status == 200 else [])


@pytest.mark.parametrize("depth", [5, 20, 30, 31, 32, 33, 40, 63, 70])
def test_whatever_is_accepted_is_billed(bob: Customer, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    response = bob.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": value})
    assert response.status_code == (200 if depth <= 32 else 400)
    assert drain.drain().set_aside == 0
    assert UsageLog.objects.count() == (1 if depth <= 32 else 0)


def test_an_unknown_feature_is_named_with_those_there_are(bob: Customer) -> None:
    response = track(bob, "nope")
    assert "trace_start" in problem(response, 400, "invalid", {"errors"})["errors"]["feature"][0]
    assert left(response) == {"minute": 29, "quota": 500}
    assert "X-Usage-Event" not in response


def test_the_last_token_can_be_spent_and_the_next_is_refused(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=10)
    answers = [track(alice, feature).status_code for feature in ("trace_expand", "trace_start", "trace_expand")]
    assert answers == [200, 429, 200]
    body = problem(track(alice, "risk_score"), 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
    assert (body["tokens_used"], body["tokens_remaining"], body["cost"]) == (10, 0, 2)


def test_a_request_it_refuses_for_another_reason_is_given_back(bob: Customer) -> None:
    response = bob.post("/api/v1/usage/track?x=1", {"feature": "trace_start"})
    problem(response, 400, "invalid", {"errors"})
    response = bob.api.post(
        "/api/v1/usage/track", {"feature": "trace_start"}, "application/json", headers={"accept": "image/png"}
    )
    problem(response, 406, "not_acceptable")
    assert left(response) == {"minute": 28, "quota": 500}


def test_a_session_may_track_too(bob: Customer) -> None:
    from django.test import Client

    browser = Client()
    browser.force_login(bob.user)
    event = browser.post("/api/v1/usage/track", {"feature": "risk_score"}, "application/json").json()["event"]
    drain.drain()
    assert UsageLog.objects.get(id=event).key_prefix == ""
