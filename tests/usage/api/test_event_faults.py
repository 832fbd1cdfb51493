"""What is wrong with a reported event stops no other; nothing is taken of a batch that is malformed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Erasure
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem
from tests.usage.api.test_events import EVENTS, answer, codes, event, nothing_taken, send
from tests.usage.histories import sums
from usage.log.months import partitions
from usage.models import UsageLog

pytestmark = pytest.mark.django_db


class TestRejected:
    @pytest.mark.parametrize(
        ("wrong", "code", "named"),
        [
            ({"feature": "no_such"}, "unknown_feature", "feature"),
            ({"feature": 7}, "invalid", "feature"),
            ({"feature": ""}, "invalid", "feature"),
            ({"feature": "\ud800"}, "unknown_feature", "feature"),
            ({"account": 2**62}, "unknown_account", "account"),
            ({"account": 2**80}, "invalid", "account"),
            ({"account": 0}, "invalid", "account"),
            ({"account": -1}, "invalid", "account"),
            ({"account": True}, "invalid", "account"),
            ({"account": 1.0}, "invalid", "account"),
            ({"account": "bob"}, "invalid", "account"),
            ({"account": "²"}, "invalid", "account"),
            ({"account": None}, "invalid", "account"),
            ({"time": "2031-03-14T10:25:31Z"}, "in_future", "5 minutes"),
            ({"time": "2031-02-07T10:20:30Z"}, "too_old", "35 days"),
            ({"time": "0001-01-01T00:00:00+14:00"}, "invalid", "time"),
            ({"time": "0001-01-01T00:00:00Z"}, "too_old", "35 days"),
            ({"time": "9999-12-31T23:59:59Z"}, "in_future", "5 minutes"),
            ({"time": "2031-03-14T10:20:30"}, "invalid", "time"),
            ({"time": "2031-03-14"}, "invalid", "time"),
            ({"time": "2031-02-30T00:00:00Z"}, "invalid", "time"),
            ({"time": 1931234567}, "invalid", "time"),
            ({"time": None}, "invalid", "time"),
            ({"metadata": None}, "invalid", "metadata"),
            ({"metadata": [1]}, "invalid", "metadata"),
            ({"metadata": {"a": "x" * 4096}}, "invalid", "4096"),
            ({"metadata": {"a": "\0"}}, "invalid", "NUL"),
            ({"metadata": {"a": "\ud800"}}, "invalid", "Unicode"),
            ({"metadata": {"usage_run": "r"}}, "invalid", "usage_run"),
            ({"id": None}, "invalid", "id"),
            ({"id": 5}, "invalid", "id"),
            ({"id": ""}, "invalid", "id"),
            ({"id": "x" * 256}, "invalid", "id"),
            ({"id": "a\nb"}, "invalid", "id"),
            ({"id": "\ud800"}, "invalid", "id"),
            ({"run": "r-1"}, "invalid", "'run'"),
            ({"\ud800": 1}, "invalid", "ud800"),
        ],
    )
    def test_one_bad_event_stops_no_other(self, dave: Customer, wrong: Any, code: str, named: str) -> None:
        with moved_by_hand():
            body = answer(dave, event("a"), event("bad") | wrong, event("z"))
        (rejected,) = body["rejected"]
        name = wrong.get("id", "bad")
        shown = name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 255 else None
        assert (body["accepted"], rejected["index"], rejected["id"], rejected["code"]) == (2, 1, shown, code)
        assert named in rejected["detail"]

    @pytest.mark.parametrize("bad", [None, 5, "text", [], True])
    def test_what_is_no_object(self, dave: Customer, bad: Any) -> None:
        assert codes(answer(dave, bad, event("a"))) == [(0, None, "invalid")]

    def test_just_within(self, dave: Customer) -> None:
        with moved_by_hand():
            bounds = ["2031-02-07T10:20:30.400Z", "2031-03-14T10:25:30.400Z", "2031-03-14t11:20:30+01:00"]
            deep = {"metadata": {"a": "x" * 4087}, "id": "ü" * 255}
            body = answer(dave, *[event(at, time=at) for at in bounds], event("") | deep)
            assert (body["accepted"], body["rejected"]) == (4, [])
            latest = UsageLog.objects.order_by("-charged_at").first()
            assert latest is not None and latest.charged_at <= timezone.now()  # a clock that is ahead counts as now

    def test_of_a_month_that_has_left_the_log(self, dave: Customer) -> None:
        with moved_by_hand("2031-03-14T10:00:00Z"):
            partitions.close(datetime(2031, 2, 1, tzinfo=UTC))
            body = answer(dave, event("a", time="2031-02-28T23:59:59Z"), event("b", time="2031-03-01T00:00:00Z"))
        assert (body["accepted"], codes(body)) == (1, [(0, "a", "month_closed")])

    def test_of_an_account_that_is_erased(self, dave: Customer, alice: Customer) -> None:
        Erasure.objects.create(account=alice.user, began_at=timezone.now())
        assert codes(answer(dave, event("a", alice.account))) == [(0, "a", "unknown_account")]


class TestMalformed:
    @pytest.mark.parametrize(
        ("body", "named"),
        [
            ([], "events"),
            ("text", "events"),
            (None, "events"),
            ({}, "events"),
            ({"events": None}, "events"),
            ({"events": {"id": "a"}}, "events"),
            ({"events": [], "more": 1}, "more"),
            ({"events": [], "\ud800": 1}, "ud800"),
        ],
    )
    def test_nothing_is_taken(self, dave: Customer, body: Any, named: str) -> None:
        told = problem(dave.post(EVENTS, json.dumps(body)), 400, "invalid", {"errors"})
        assert named in json.dumps(told["errors"])
        assert nothing_taken()

    @pytest.mark.parametrize("body", ["", "{", '{"events": [NaN]}', '{"events": [1e999]}', "[" * 100_000, "\xff"])
    def test_what_is_no_json(self, dave: Customer, body: str) -> None:
        response = dave.api.post(EVENTS, body.encode("latin-1"), content_type="application/json")
        problem(response, 400, "invalid", {"errors"})

    def test_a_thousand_and_one(self, dave: Customer) -> None:
        told = problem(send(dave, *[event(str(n)) for n in range(1001)]), 400, "invalid", {"errors"})
        assert told["errors"] == {"events": ["At most 1,000 events; these are 1,001."]}
        assert nothing_taken()
        assert answer(dave, *[event(str(n)) for n in range(1000)])["accepted"] == 1000
        assert sums(dave.account) == {10_000}

    def test_a_megabyte(self, dave: Customer) -> None:
        events = [event(str(n), metadata={"a": "x" * 4000}) for n in range(250)]
        problem(send(dave, *events), 413, "too_large")
        assert nothing_taken()

    def test_a_content_encoding(self, dave: Customer) -> None:
        problem(send(dave, event("a"), **{"content-encoding": "gzip"}), 415, "unsupported_media_type")
        assert nothing_taken()

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
    def test_another_content_type(self, dave: Customer, content_type: str) -> None:
        response = dave.api.post(EVENTS, "events=1", content_type=content_type)
        told = problem(response, 415, "unsupported_media_type")
        assert "application/cloudevents-batch+json" in told["detail"]
