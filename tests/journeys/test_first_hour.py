"""A newcomer's first hour, over HTTP: what staff do in the admin acts on the customer's very next call."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from billing.models import Plan
from tests.contract import MINUTE_MEMBERS, QUOTA_MEMBERS, QUOTA_SENTENCE, problem
from tests.journeys.browser import Browser, text_at
from tests.journeys.server import Server
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct-horse-9"


class Response:
    """A response of the real server, read as the test client's are."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.status_code, self.content, self.json = response.status_code, response.content, response.json

    def __getitem__(self, name: str) -> str:
        return str(self.response.headers[name])

    def __contains__(self, name: str) -> bool:
        return name in self.response.headers


class Newcomer:
    def __init__(self, server: Server, key: str) -> None:
        self.server, self.session = server, server.session(key)

    def get(self, path: str) -> Response:
        return Response(self.session.get(f"{self.server.url}/api/v1/{path}", timeout=60))


@pytest.fixture
def staff(server: Server, settings: Any) -> Browser:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # the server knows no faster one
    get_user_model().objects.create_superuser("staff", "staff@example.com", PASSWORD)
    browser = Browser(server)
    browser.log_in("staff", PASSWORD)
    return browser


@pytest.fixture
def newcomer(server: Server, staff: Browser) -> Newcomer:
    """Signed up by staff, with a first key that was shown once."""
    staff.send("/admin/auth/user/add/", username="newcomer", password1=PASSWORD, password2=PASSWORD)
    account = get_user_model().objects.get(username="newcomer").pk
    page = staff.send("/admin/billing/apikey/add/", account=account, name="first")
    key = text_at(page, "plain-key")
    assert key not in staff.open("/admin/billing/apikey/"), "it is shown once"
    return Newcomer(server, key)


def test_from_the_first_call_to_the_last(newcomer: Newcomer, staff: Browser) -> None:
    account = get_user_model().objects.get(username="newcomer").pk

    body = newcomer.get("usage/current").json()
    assert (body["plan"], body["quota"], body["tokens_used"]) == ("community", 100, 0)

    for made in range(1, 10):
        response = newcomer.get("trace/start")
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "10")
        assert response["RateLimit"].startswith(f'"minute";r={9 - made};t=')

    refused = problem(newcomer.get("usage/current"), 429, "rate_limited", MINUTE_MEMBERS)
    assert refused["detail"] == "Rate limit exceeded. Limit: 10 requests/minute. Upgrade for higher limits."
    assert 0 < refused["retry_after"] <= 60

    lacking = newcomer.get("graph/nodes").json()
    assert (lacking["code"], lacking["capability"]) == ("feature_not_in_plan", "investigator")
    assert (lacking["suggested_plan"], lacking["upgrade_url"]) == ("starter", "/dashboard/")

    staff.send("/admin/billing/limitoverride/add/", account=account, limit="minute", maximum="")
    assert newcomer.get("trace/start").status_code == 200
    refused = problem(newcomer.get("trace/start"), 429, "quota_exceeded", QUOTA_MEMBERS)
    assert (refused["detail"], refused["violated-policies"]) == (QUOTA_SENTENCE, ["quota"])
    assert (refused["quota"], refused["tokens_used"], refused["cost"]) == (100, 100, 10)
    assert newcomer.get("usage/breakdown").json() == {"trace_start": 100, "total": 100}

    staff.send("/admin/billing/tokentopup/add/", account=account, tokens="10")
    assert [newcomer.get("trace/start").status_code for _ in range(2)] == [200, 429]

    plan = Plan.objects.get(code="community").pk
    staff.send(f"/admin/billing/plan/{plan}/change/", monthly_token_quota="120")
    assert [newcomer.get("trace/start").status_code for _ in range(3)] == [200, 200, 429]
    assert newcomer.get("usage/current").json()["quota"] == 130

    staff.send(f"/admin/auth/user/{account}/edit/", leave_out=("is_active",))
    problem(newcomer.get("usage/current"), 401, "not_authenticated")
    staff.send(f"/admin/auth/user/{account}/edit/", is_active="on")
    assert newcomer.get("usage/current").json()["tokens_used"] == 130

    drain.drain()
    assert UsageLog.objects.filter(account_id=account, kind="charge", tokens=10).count() == 13
    assert "trace_start" in staff.open("/admin/usage/usagelog/")
