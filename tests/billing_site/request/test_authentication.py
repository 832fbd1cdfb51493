"""Who is calling: keys and sessions, and that both end at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.utils import timezone

from billing.catalogue import plans
from billing.entitlements import facts, snapshots
from billing.fence import push
from billing.models import ApiKey, BillingPeriod, Plan, Subscription
from ratelimit import process_state
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left, problem

CURRENT = "/api/v1/usage/current"


def call(authorization: str, **headers: str) -> Any:
    return Client().get(CURRENT, headers={"authorization": authorization, **headers})


@pytest.mark.django_db
class TestKeys:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
    def test_the_schemes_case_does_not_matter(self, alice: Customer, scheme: str) -> None:
        assert call(f"{scheme} {alice.key}").status_code == 200
        assert call(f"{scheme}   {alice.key} ").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "{key}",
            "Token {key}",
            "Bearer {key}x",
            "Bearer x{key}",
            "Bearer {short}",
            "Bearer {key} {key}",
            "Bearer ,{key}",
            "Bearer \x00",
            "Bearer é",
            "Bearer " + "x" * 300,
            "Bearer {upper}",
        ],
    )
    def test_anything_but_a_key_is_no_key(self, alice: Customer, header: str) -> None:
        text = header.format(key=alice.key, short=alice.key[:-1], upper=alice.key.swapcase())
        response = call(text)
        problem(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("path", [CURRENT, "/api/v1/plans", "/api/v1/trace/start", "/api/v1/nothing"])
    def test_a_bad_key_never_falls_through_to_the_session(self, alice: Customer, path: str) -> None:
        browser = Client()
        browser.force_login(alice.user)
        problem(browser.get(path, headers={"authorization": "Bearer nonsense"}), 401, "not_authenticated")
        problem(browser.get(path, headers={"authorization": ""}), 401, "not_authenticated")

    def test_a_revoked_key_fails_on_the_next_request(
        self, alice: Customer, django_capture_on_commit_callbacks: Any
    ) -> None:
        _, other = ApiKey.issue(account=alice.user, name="other")
        assert [call(f"Bearer {key}").status_code for key in (alice.key, other)] == [200, 200]
        key = ApiKey.objects.get(name="alice's key")
        with django_capture_on_commit_callbacks(execute=True):
            key.revoked = True
            key.save()
        problem(call(f"Bearer {alice.key}"), 401, "not_authenticated")
        assert call(f"Bearer {other}").status_code == 200

    def test_a_deleted_key_fails_on_the_next_request(
        self, alice: Customer, django_capture_on_commit_callbacks: Any
    ) -> None:
        alice.api.get(CURRENT)
        with django_capture_on_commit_callbacks(execute=True):
            ApiKey.objects.get(name="alice's key").delete()
        problem(alice.api.get(CURRENT), 401, "not_authenticated")

    def test_a_key_expires_on_the_instant(self, alice: Customer) -> None:
        with moved_by_hand("2031-03-14T10:20:30Z") as clock:
            _, key = ApiKey.issue(account=alice.user, name="x", expiry_date=timezone.now() + timedelta(seconds=10))
            for ticks, status in ((0, 200), (9.999, 200), (0.001, 401), (1, 401)):
                clock.tick(ticks)
                assert call(f"Bearer {key}").status_code == status
            process_state.start_anew()
            assert call(f"Bearer {key}").status_code == 401

    def test_a_deactivated_user_fails_on_the_next_request_and_may_come_back(self, alice: Customer) -> None:
        browser = Client()
        browser.force_login(alice.user)
        for active, statuses in ((True, [200, 200]), (False, [401, 401]), (True, [200, 200])):
            alice.user.is_active = active
            alice.user.save()
            push.sweep()
            assert [alice.api.get(CURRENT).status_code, browser.get(CURRENT).status_code] == statuses

    def reason(self, authorization: str | None) -> str:
        response = Client().get(CURRENT, headers={} if authorization is None else {"authorization": authorization})
        body = problem(response, 401, "not_authenticated")
        assert body["detail"].endswith("Send a valid API key as `Authorization: Bearer <key>`, or log in.")
        return str(body["reason"])

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            (None, "missing"),
            ("", "missing"),
            ("Bearer", "missing"),
            ("Bearer  ", "missing"),
            ("{key}", "scheme"),
            ("Basic YTpi", "scheme"),
            ("Token {key}", "scheme"),
            ("Bearer {key}", "right"),
            ("Bearer {key}x", "unknown"),
            ("Bearer x{key}", "unknown"),
            ("Bearer {prefix}.guessed", "unknown"),
            ("Bearer {prefix}", "unknown"),
            ("Bearer \x00", "unknown"),
        ],
    )
    def test_the_reason_says_what_is_wrong_and_of_a_bad_key_no_more_to_who_guesses(
        self, alice: Customer, header: str | None, reason: str
    ) -> None:
        text = header and header.format(key=alice.key, prefix=alice.key.partition(".")[0])
        if reason != "right":
            assert self.reason(text) == reason
        ApiKey.objects.update(revoked=True)
        assert self.reason(text) == ("revoked" if reason == "right" else reason)
        ApiKey.objects.update(revoked=False, expiry_date=timezone.now())
        assert self.reason(text) == ("expired" if reason == "right" else reason)

    def test_a_key_that_is_known_says_it_too(self, alice: Customer, django_capture_on_commit_callbacks: Any) -> None:
        alice.api.get(CURRENT)
        with django_capture_on_commit_callbacks(execute=True):
            ApiKey.objects.get().revoke()
        assert self.reason(f"Bearer {alice.key}") == "revoked"
        with moved_by_hand("2031-03-14T10:20:30Z") as clock:
            _, key = ApiKey.issue(account=alice.user, name="x", expiry_date=timezone.now() + timedelta(seconds=10))
            call(f"Bearer {key}")
            clock.tick(10)
            assert self.reason(f"Bearer {key}") == "expired"

    def test_of_a_deactivated_user_it_is_revoked_and_of_a_deleted_key_unknown(self, alice: Customer) -> None:
        alice.user.is_active = False
        alice.user.save()
        push.sweep()
        assert self.reason(f"Bearer {alice.key}") == "revoked"
        ApiKey.objects.all().delete()
        process_state.start_anew()
        assert self.reason(f"Bearer {alice.key}") == "unknown"

    def test_keys_are_stored_hashed(self, alice: Customer) -> None:
        key = ApiKey.objects.get(name="alice's key")
        stored = " ".join(str(getattr(key, field.attname)) for field in ApiKey._meta.fields)
        assert alice.key.partition(".")[2] not in stored


@pytest.mark.django_db
class TestSessions:
    def test_a_session_is_charged_like_a_key(self, bob: Customer) -> None:
        browser = Client()
        browser.force_login(bob.user)
        assert left(browser.get("/api/v1/graph/nodes")) == {"minute": 29, "quota": 497}
        assert left(bob.api.get("/api/v1/graph/nodes")) == {"minute": 28, "quota": 494}

    def test_a_get_needs_no_token_and_a_post_does(self, bob: Customer) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(bob.user)
        assert browser.get("/api/v1/trace/start").status_code == 200
        problem(browser.post("/api/v1/trace/start", {}, "application/json"), 403, "csrf_failed")
        browser.cookies["csrftoken"] = "x" * 32
        headers = {"X-CSRFToken": "x" * 32}
        assert browser.post("/api/v1/trace/start", {}, "application/json", headers=headers).status_code == 200
        headers = {"X-CSRFToken": "y" * 32}
        problem(browser.post("/api/v1/trace/start", {}, "application/json", headers=headers), 403, "csrf_failed")
        problem(browser.delete("/api/v1/usage/events/x"), 403, "csrf_failed")

    def test_a_session_that_is_over_is_nobody(self, bob: Customer) -> None:
        browser = Client()
        browser.force_login(bob.user)
        browser.logout()
        problem(browser.get(CURRENT), 401, "not_authenticated")
        browser.cookies["sessionid"] = "made-up"
        problem(browser.get(CURRENT), 401, "not_authenticated")

    def test_a_key_with_a_session_beside_it_is_the_caller(self, alice: Customer, bob: Customer) -> None:
        browser = Client(headers={"authorization": f"Bearer {alice.key}"})
        browser.force_login(bob.user)
        assert browser.get(CURRENT).json()["plan"] == "community"


class TestFirstUse:
    @pytest.fixture
    def newcomer(self, catalogue: None) -> Any:
        return get_user_model().objects.create_user("newcomer")

    @pytest.mark.django_db
    def test_a_user_without_a_subscription_is_put_on_the_default_plan(self, newcomer: Any) -> None:
        _, key = ApiKey.issue(account=newcomer, name="first")
        with moved_by_hand("2031-01-31T10:20:30.4Z"):
            assert call(f"Bearer {key}").json()["plan"] == "community"
        opened = Subscription.objects.get(account=newcomer)
        assert (opened.plan.code, opened.status) == ("community", "active")
        period = BillingPeriod.objects.get(subscription=opened)
        assert (period.number, period.starts_at, period.ends_at) == (
            0,
            datetime(2031, 1, 31, 10, 20, 30, tzinfo=UTC),
            datetime(2031, 2, 28, 10, 20, 30, tzinfo=UTC),
        )

    @pytest.mark.django_db(transaction=True)
    def test_without_a_default_plan_there_is_none(self, newcomer: Any) -> None:
        Plan.objects.update(is_default=False)
        _, key = ApiKey.issue(account=newcomer, name="first")
        assert call(f"Bearer {key}").json()["plan"] is None
        plans.make_default(Plan.objects.get(code="community").pk)
        assert call(f"Bearer {key}").json()["plan"] == "community"

    @pytest.mark.django_db(transaction=True)
    def test_twenty_first_calls_at_once_open_one_subscription(self, newcomer: Any) -> None:
        _, key = ApiKey.issue(account=newcomer, name="first")

        def first(_: int) -> int:
            try:
                return call(f"Bearer {key}").status_code
            finally:
                connections.close_all()

        with ThreadPoolExecutor(20) as threads:
            statuses = sorted(threads.map(first, range(20)))
        assert statuses == [200] * 10 + [429] * 10
        assert Subscription.objects.filter(account=newcomer).count() == 1
        assert BillingPeriod.objects.filter(subscription__account=newcomer).count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_several_processes_open_one_subscription(self, newcomer: Any) -> None:
        """Each thread forgets what the others know, as another process would not know it."""
        _, key = ApiKey.issue(account=newcomer, name="first")

        def first(_: int) -> None:
            try:
                snapshots._accounts.clear()
                facts.read_facts(newcomer.pk, timezone.now())
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(first, range(8)))
        assert Subscription.objects.filter(account=newcomer).count() == 1
        assert call(f"Bearer {key}").status_code == 200
