"""Idempotency-Key on metered calls: charged once, its answer given again, the same request only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from billing.models import Feature, Route
from tests import host_urls
from tests.cast import Customer
from tests.contract import left, problem
from usage.drain import drain
from usage.metering.kept_answers import LARGEST_ANSWER
from usage.models import UsageLog

pytestmark = pytest.mark.django_db
SCORE = "/api/v1/risk/score"


def keyed(customer: Customer, body: Any = None, key: str = "k", path: str = SCORE) -> Any:
    return customer.post(path, {} if body is None else body, **{"Idempotency-Key": key})


def used(customer: Customer) -> int:
    return int(customer.api.get("/api/v1/usage/current").json()["tokens_used"])


def test_the_answer_is_given_again_and_neither_runs_nor_charges(bob: Customer) -> None:
    first, second = keyed(bob, {"a": 1}), keyed(bob, {"a": 1})
    assert [response.status_code for response in (first, second)] == [200, 200]
    assert first.content == second.content
    assert first["Content-Type"] == second["Content-Type"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert (first["X-Usage-Cost"], second["X-Usage-Cost"]) == ("2", "0")
    assert first["X-Usage-Event"] == second["X-Usage-Event"]
    assert left(second) == {"minute": 29, "quota": 498}
    drain.drain()
    assert UsageLog.objects.count() == 1


def test_it_is_given_again_when_minute_and_quota_are_used_up(alice: Customer) -> None:
    first = keyed(alice)
    for _ in range(10):
        alice.api.get("/api/v1/trace/start")
    assert alice.api.get("/api/v1/trace/start").status_code == 429
    assert keyed(alice).content == first.content


@pytest.mark.parametrize(
    "other",
    [
        lambda bob: keyed(bob, {"a": 2}),
        lambda bob: keyed(bob, {"a": 1}, path=f"{SCORE}?x=1"),
        lambda bob: keyed(bob, {"a": 1}, path=f"{SCORE}/"),
        lambda bob: keyed(bob, {"a": 1}, path="/api/v1/trace/start"),
        lambda bob: bob.api.get(SCORE, headers={"Idempotency-Key": "k"}),
        lambda bob: keyed(bob, {"feature": "risk_score"}, path="/api/v1/usage/track"),
    ],
    ids=["body", "query", "slash", "path", "method", "track"],
)
def test_the_same_key_for_another_request_is_a_conflict(bob: Customer, other: Callable[[Customer], Any]) -> None:
    keyed(bob, {"a": 1})
    response = other(bob)
    problem(response, 409, "idempotency_conflict")
    assert left(response) == {"minute": 29, "quota": 498}
    assert response["X-Usage-Cost"] == "0"
    assert keyed(bob, {"a": 1})["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("key", "status"),
    [("x" * 254, 200), ("x" * 255, 200), ("x" * 256, 400), ("", 400), ("é", 400), ("a\tb", 400), ("a b~!", 200)],
)
def test_what_is_a_key(bob: Customer, key: str, status: int) -> None:
    response = keyed(bob, key=key)
    if status == 200:
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "2")
    else:
        assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == ["Idempotency-Key"]
        assert (response["X-Usage-Cost"], "X-Usage-Event" in response, used(bob)) == ("0", False, 0)


def test_a_failed_call_frees_its_key(bob: Customer) -> None:
    failed = keyed(bob, {"fail": 500})
    assert (failed.status_code, failed["X-Usage-Cost"], used(bob)) == (500, "0", 0)
    other = keyed(bob, {"a": 1})
    assert (other.status_code, other["X-Usage-Cost"]) == (200, "2")
    assert other["X-Usage-Event"] != failed["X-Usage-Event"]
    assert "Idempotency-Replayed" not in other


def test_a_refused_call_does_not_take_the_key(alice: Customer) -> None:
    for _ in range(10):
        alice.api.get("/api/v1/trace/start")
    assert keyed(alice).status_code == 429
    from tests.conftest import forget_everything

    forget_everything()
    assert keyed(alice, {"other": 1}).status_code == 200


class TestRuns:
    """The view's outcome changes between runs of one request: a host's view, told by the test."""

    @pytest.fixture
    def outcome(self, bob: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        settings.ROOT_URLCONF = "tests.host_urls"
        feature = Feature.objects.create(code="host", tokens=3)
        for path in ("/host/plain", "/host/stream"):
            Route.objects.create(path=path, feature=feature)

        def run(status: int, path: str = "/host/plain") -> Any:
            monkeypatch.setattr(host_urls, "answer", status)
            return bob.api.post(path, b"", "application/json", headers={"Idempotency-Key": "k"})

        return run

    def test_a_success_is_answered_again_whatever_the_view_would_say(self, bob: Customer, outcome: Any) -> None:
        assert [outcome(status).status_code for status in (201, 500, 500)] == [201, 201, 201]
        assert used(bob) == 3

    def test_while_the_first_is_in_flight_the_next_is_told_so(
        self, bob: Customer, outcome: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inner: list[Any] = []

        def call_again() -> None:
            monkeypatch.setattr(host_urls, "meanwhile", None)
            inner.append(outcome(200))

        monkeypatch.setattr(host_urls, "meanwhile", call_again)
        assert outcome(500).status_code == 500
        problem(inner[0], 409, "idempotency_in_progress")
        assert inner[0]["Retry-After"] == "1"
        assert used(bob) == 0, "the first has failed"
        assert outcome(200)["X-Usage-Cost"] == "3"

    def test_when_every_run_has_failed_nothing_is_charged(self, bob: Customer, outcome: Any) -> None:
        assert [outcome(status).status_code for status in (500, 500)] == [500, 500]
        assert used(bob) == 0
        drain.drain()
        assert sum(row.tokens for row in UsageLog.objects.all()) == 0

    @pytest.mark.parametrize(("size", "kept"), [(LARGEST_ANSWER, True), (LARGEST_ANSWER + 1, False)])
    def test_a_body_of_64_kib_is_kept(
        self, bob: Customer, outcome: Any, size: int, kept: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_urls, "body", b"x" * size)
        first = outcome(200)
        monkeypatch.setattr(host_urls, "body", b"another run")
        assert outcome(200).content == (first.content if kept else b"another run")
        assert used(bob) == 3

    def test_what_is_not_kept_runs_again_three_times_uncharged(self, bob: Customer, outcome: Any) -> None:
        runs = [outcome(200, "/host/stream") for _ in range(5)]
        for response in runs[:4]:
            assert b"".join(response.streaming_content) == b"first last"
        assert [response["X-Usage-Cost"] for response in runs[:4]] == ["3", "0", "0", "0"]
        assert ["Idempotency-Replayed" in response for response in runs[:4]] == [False, True, True, True]
        problem(runs[4], 409, "idempotency_exhausted")
        assert used(bob) == 3

    def test_a_rerun_that_fails_leaves_the_charge(
        self, bob: Customer, outcome: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_urls, "body", b"x" * (LARGEST_ANSWER + 1))
        assert [outcome(status).status_code for status in (200, 500, 200)] == [200, 500, 200]
        assert used(bob) == 3


def test_a_charge_that_was_taken_back_frees_its_key(dave: Customer) -> None:
    body = {"feature": "trace_start"}
    first = keyed(dave, body, path="/api/v1/usage/track")
    assert dave.api.delete(f"/api/v1/usage/events/{first.json()['event']}").status_code == 204
    again = keyed(dave, body, path="/api/v1/usage/track")
    assert "Idempotency-Replayed" not in again
    assert again.json()["event"] != first.json()["event"]
    assert used(dave) == 10


def test_two_accounts_may_use_the_same_key(alice: Customer, bob: Customer) -> None:
    for customer in (alice, bob):
        response = keyed(customer, {"of": customer.account})
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "2")


def test_on_track_the_answer_is_that_of_the_first_run(bob: Customer) -> None:
    body = {"feature": "trace_start", "metadata": {"a": 1}}
    first, second = (keyed(bob, body, path="/api/v1/usage/track") for _ in range(2))
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert used(bob) == 10
    problem(keyed(bob, {"feature": "trace_expand"}, path="/api/v1/usage/track"), 409, "idempotency_conflict")


def test_calls_that_are_not_metered_take_no_notice(bob: Customer) -> None:
    for _ in range(2):
        response = bob.api.get("/api/v1/usage/current", headers={"Idempotency-Key": "k"})
        assert (response.status_code, "Idempotency-Replayed" in response) == (200, False)


class TestForms:
    """Bodies that are not simply in memory: forms a browser posts, and uploads."""

    @pytest.fixture
    def browser(self, bob: Customer, settings: Any) -> Client:
        settings.ROOT_URLCONF = "tests.host_urls"
        Route.objects.create(path="/host/form", feature=Feature.objects.create(code="host", tokens=3))
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(bob.user)
        browser.cookies["csrftoken"] = "t" * 32
        return browser

    def post(self, browser: Client, data: dict[str, Any]) -> Any:
        data = {"csrfmiddlewaretoken": "t" * 32, **data}
        return browser.post("/host/form", data, headers={"Idempotency-Key": "k"})

    def test_the_same_form_is_a_replay_and_another_one_a_conflict(self, browser: Client) -> None:
        assert self.post(browser, {"a": "1"})["X-Usage-Cost"] == "3"
        assert self.post(browser, {"a": "1"})["Idempotency-Replayed"] == "true"
        problem(self.post(browser, {"a": "2"}), 409, "idempotency_conflict")

    @pytest.mark.parametrize("size", [10, 1_500_000])
    def test_so_is_an_upload(self, browser: Client, size: int) -> None:
        def upload(letter: bytes) -> Any:
            return self.post(browser, {"file": SimpleUploadedFile("x.bin", letter * size)})

        assert upload(b"a").json()["files"] == ["file"]
        assert upload(b"a")["Idempotency-Replayed"] == "true"
        problem(upload(b"b"), 409, "idempotency_conflict")

    def test_a_body_too_large_to_be_compared_is_like_no_other(self, bob: Customer) -> None:
        body = '{"a": "%s"}' % ("x" * 1_000_001)
        for _ in range(2):
            response = bob.api.generic(
                "POST", SCORE, body, content_type="application/json", headers={"Idempotency-Key": "k"}
            )
            problem(response, 413, "too_large")
        assert used(bob) == 0


@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_once_is_charged_once(bob: Customer) -> None:
    def call(_: int) -> Any:
        try:
            client = Client(headers={"authorization": f"Bearer {bob.key}"})
            return client.post(SCORE, {"a": 1}, "application/json", headers={"Idempotency-Key": "k"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(call, range(16)))
    served = [response for response in responses if response.status_code == 200]
    assert len(served) >= 1
    for response in set(responses) - set(served):
        problem(response, 409, "idempotency_in_progress")
    assert sorted(response["X-Usage-Cost"] for response in responses) == ["0"] * 15 + ["2"]
    assert len({response["X-Usage-Event"] for response in served}) == 1
    assert used(bob) == 2
