"""POST /usage/events: usage that has happened is recorded once, whatever is sent again; one bad event stops none."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Budget, LimitOverride
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left, problem
from tests.usage.histories import sums
from usage.drain import drain
from usage.models import ReceivedEvent, UsageLog

pytestmark = pytest.mark.django_db
EVENTS, TRACE, CURRENT = "/api/v1/usage/events", "/api/v1/trace/start", "/api/v1/usage/current"
CLOUD, CLOUD_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def event(name: str, account: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "feature": "trace_start"} | ({} if account is None else {"account": account}) | more


def send(sender: Customer, *events: Any, **headers: str) -> Any:
    return sender.post(EVENTS, {"events": list(events)}, **headers)


def answer(sender: Customer, *events: Any) -> dict[str, Any]:
    response = send(sender, *events)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def codes(body: dict[str, Any]) -> list[tuple[int, str | None, str]]:
    return [(each["index"], each["id"], each["code"]) for each in body["rejected"]]


def nothing_taken() -> bool:
    return not UsageLog.objects.exists() and not ReceivedEvent.objects.exists()


class TestRecorded:
    def test_each_with_its_time_and_what_was_sent_with_it(self, dave: Customer, bob: Customer) -> None:
        at = timezone.now().replace(microsecond=250_000) - timedelta(minutes=3)
        body = answer(dave, event("a", bob.account, time=at.isoformat(), metadata={"region": "eu"}), event("b"))
        assert body == {"accepted": 2, "duplicates": 0, "rejected": [], "over_quota": []}
        row = UsageLog.objects.get(account=bob.user)
        assert (row.charged_at, row.tokens, row.feature, row.kind) == (at, 10, "trace_start", "charge")
        assert (row.source, row.key_prefix, row.metadata) == ("events", "", {"region": "eu"})
        assert UsageLog.objects.get(account=dave.user).metadata is None
        assert (sums(bob.account), sums(dave.account)) == ({10}, {10})
        known = ReceivedEvent.objects.get(account_id=bob.account)
        assert (known.sent_id, known.event_id, known.source) == ("a", row.event_id, "")
        assert dave.key.removeprefix("mk_live_").startswith(known.key_prefix) or known.key_prefix in dave.key

    @pytest.mark.django_db(transaction=True)
    def test_the_next_call_is_judged_with_it(self, dave: Customer, alice: Customer) -> None:
        assert alice.api.get(TRACE).status_code == 200
        answer(dave, *[event(str(n), alice.account) for n in range(8)])
        response = alice.api.get(TRACE)
        assert (response.status_code, left(response)["quota"]) == (200, 0)
        assert alice.api.get(TRACE).status_code == 429
        drain.drain()
        assert sums(alice.account) == {100}

    def test_its_account_reads_it(self, dave: Customer, alice: Customer) -> None:
        answer(dave, event("a", alice.account))
        body = alice.api.get("/api/v1/usage/logs").json()
        assert [(row["feature"], row["tokens"], row["kind"]) for row in body["results"]] == [
            ("trace_start", 10, "charge")
        ]
        assert alice.api.get(CURRENT).json()["tokens_used"] == 10

    def test_no_limit_refuses_it_and_the_answer_says_who_is_over(self, dave: Customer, alice: Customer) -> None:
        LimitOverride.objects.create(account=alice.user, limit="minute", maximum=0)
        assert answer(dave, *[event(str(n), alice.account) for n in range(10)])["over_quota"] == []
        body = answer(dave, event("one more", alice.account), event("own"))
        assert (body["accepted"], body["over_quota"]) == (2, [alice.account])
        assert answer(dave, event("one more", alice.account))["over_quota"] == [alice.account]
        assert sums(alice.account) == {110}

    def test_a_capability_that_the_plan_lacks_refuses_nothing(self, dave: Customer, alice: Customer) -> None:
        assert answer(dave, event("a", alice.account, feature="ai_agent_query"))["accepted"] == 1
        assert sums(alice.account) == {5}

    def test_a_customer_who_never_called_is_on_the_default_plan(self, dave: Customer, django_user_model: Any) -> None:
        new = django_user_model.objects.create_user("new")
        assert answer(dave, *[event(str(n), new.pk) for n in range(11)])["over_quota"] == [new.pk]
        assert sums(new.pk) == {110}

    def test_a_deactivated_customer_has_used_what_he_used(self, dave: Customer, alice: Customer) -> None:
        alice.user.is_active = False
        alice.user.save()
        assert answer(dave, event("a", alice.account))["accepted"] == 1
        assert sums(alice.account) == {10}

    def test_the_request_counts_none_of_the_minute(self, customer: Callable[..., Customer]) -> None:
        """One event a request, as a device sends them; the key's own minute refuses none either."""
        sender = customer("sender", "community", scope="meter")
        LimitOverride.objects.create(account=sender.user, limit="minute", maximum=1)
        Budget.objects.create(key_id=sender.caller.key_prefix, requests_per_minute=1)
        assert sender.api.get(CURRENT).status_code == 200
        assert [answer(sender, event(str(n)))["accepted"] for n in range(3)] == [1, 1, 1]
        assert sums(sender.account) == {30}
        assert sender.api.get(CURRENT).status_code == 429

    def test_without_the_scope_it_counts_one(self, bob: Customer) -> None:
        LimitOverride.objects.create(account=bob.user, limit="minute", maximum=1)
        assert [send(bob, event("a")).status_code for _ in range(2)] == [403, 429]

    def test_an_empty_batch(self, dave: Customer) -> None:
        assert answer(dave) == {"accepted": 0, "duplicates": 0, "rejected": [], "over_quota": []}


class TestKnownOnce:
    def test_sent_again_in_another_order(self, dave: Customer, bob: Customer) -> None:
        events = [event(str(n), bob.account) for n in range(5)]
        assert answer(dave, *events)["accepted"] == 5
        body = answer(dave, *reversed(events), event("new", bob.account))
        assert (body["accepted"], body["duplicates"]) == (1, 5)
        assert sums(bob.account) == {60}

    def test_twice_in_one_batch(self, dave: Customer) -> None:
        body = answer(dave, event("a"), event("b"), event("a", metadata={"second": True}))
        assert (body["accepted"], body["duplicates"]) == (2, 1)
        assert sorted(row.metadata is None for row in UsageLog.objects.all()) == [True, True]

    def test_by_its_account_and_its_source(self, dave: Customer, bob: Customer) -> None:
        assert answer(dave, event("a"), event("a", bob.account), event("a", dave.account))["accepted"] == 2
        cloud = {"specversion": "1.0", "id": "a", "type": "trace_start"}
        sources = [cloud | {"source": source} for source in ("/one", "/two", "/one")]
        response = dave.api.post(EVENTS, json.dumps(sources), content_type=CLOUD_BATCH)
        assert (response.json()["accepted"], response.json()["duplicates"]) == (2, 1)

    def test_whatever_else_it_says(self, dave: Customer) -> None:
        answer(dave, event("a"))
        assert answer(dave, event("a", feature="risk_score"))["duplicates"] == 1
        assert sums(dave.account) == {10}

    def test_also_where_it_would_not_be_taken_any_more(self, dave: Customer, bob: Customer) -> None:
        with moved_by_hand() as clock:
            events = [event("a", time="2031-02-10T00:00:00Z"), event("b")]
            assert answer(dave, *events)["accepted"] == 2
            clock.tick(timedelta(days=7))
            body = answer(dave, *events, event("c", time="2031-02-10T00:00:00Z"), event("b", feature="gone"))
            assert (body["accepted"], body["duplicates"]) == (0, 3)
            assert codes(body) == [(2, "c", "too_old")]

    def test_a_valid_one_beside_one_that_is_not_whatever_their_order(self, dave: Customer) -> None:
        for name, order in (("a", 1), ("b", -1)):
            body = answer(dave, *[event(name), event(name, feature="gone")][::order])
            assert (body["accepted"], body["duplicates"], body["rejected"]) == (1, 1, [])


class TestCloudEvents:
    def test_a_batch(self, dave: Customer, bob: Customer) -> None:
        at = timezone.now() - timedelta(hours=1)
        cloud = {
            "specversion": "1.0",
            "id": "a",
            "source": "/inference/eu",
            "type": "trace_start",
            "subject": str(bob.account),
            "time": at.isoformat(),
            "datacontenttype": "application/json",
            "traceparent": "00-1-2-3",
            "data": {"region": "eu"},
        }
        body = [cloud, cloud | {"id": "b", "specversion": "0.3"}, cloud | {"source": ""}, cloud | {"type": "no_such"}]
        body.append({name: cloud[name] for name in ("specversion", "source", "type")} | {"id": "own"})
        body.append({**cloud, "id": "c", "data_base64": "AA=="})
        response = dave.api.post(EVENTS, json.dumps(body), content_type=CLOUD_BATCH + "; charset=utf-8")
        told = response.json()
        assert (response.status_code, told["accepted"], told["duplicates"]) == (200, 2, 1), told
        assert codes(told) == [(1, "b", "invalid"), (2, "a", "invalid"), (5, "c", "invalid")]
        assert (sums(bob.account), sums(dave.account)) == ({10}, {10})
        assert UsageLog.objects.get(account=bob.user).metadata == {"region": "eu"}

    def test_one_by_itself(self, dave: Customer) -> None:
        cloud = {"specversion": "1.0", "id": "a", "source": "/x", "type": "trace_start"}
        response = dave.api.post(EVENTS, json.dumps(cloud), content_type=CLOUD)
        assert response.json()["accepted"] == 1
        problem(dave.api.post(EVENTS, json.dumps(cloud), content_type=CLOUD_BATCH), 400, "invalid", {"errors"})
        problem(dave.api.post(EVENTS, json.dumps([cloud]), content_type=CLOUD), 400, "invalid", {"errors"})


class TestWhoMay:
    def test_a_key_of_the_scope_meter_alone(self, bob: Customer) -> None:
        problem(send(bob, event("a")), 403, "forbidden")
        browser = Client()
        browser.force_login(bob.user)
        response = browser.post(EVENTS, {"events": [event("a")]}, content_type="application/json")
        problem(response, 403, "forbidden")
        assert nothing_taken()

    def test_nothing_of_it_can_be_voided(self, dave: Customer) -> None:
        answer(dave, event("a"))
        charge = UsageLog.objects.get().event_id
        problem(dave.api.delete(f"{EVENTS}/{charge}"), 403, "not_voidable")

    def test_nor_of_what_was_reported_for_another(self, dave: Customer, bob: Customer) -> None:
        answer(dave, event("a", bob.account))
        charge = UsageLog.objects.get().event_id
        for named in ("", f"?account={bob.account}"):
            body = problem(dave.api.delete(f"{EVENTS}/{charge}{named}"), 403, "not_voidable")
            assert "gateway" not in body["detail"]

    @pytest.mark.django_db(transaction=True)
    def test_budgets_of_the_key_are_for_calls(self, customer: Callable[..., Customer]) -> None:
        sender = customer("sender", "business", scope="meter")
        Budget.objects.create(key_id=sender.caller.key_prefix, tokens_per_day=20)
        assert sender.api.get(TRACE).status_code == 200
        assert answer(sender, *[event(str(n)) for n in range(3)])["accepted"] == 3
        drain.drain()
        (budget,) = sender.api.get(CURRENT).json()["budgets"]
        assert (budget["used"], sums(sender.account)) == (10, {40})
