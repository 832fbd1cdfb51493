"""No line holds a secret, however it came there: by a message, an exception, a header that a client sent."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.http import HttpResponse
from django.test import Client
from django.urls import re_path

from billing_site.environment import known
from billing_site.operations.logs import secrets
from billing_site.operations.logs.configuration import FORMATS, formatter
from billing_site.operations.logs.secrets import SECRET, without_secrets
from tests.cast import Customer

HUSH = "hush-Hush-0123456789"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    secrets._own.cache_clear()
    yield
    secrets._own.cache_clear()


@pytest.fixture(params=FORMATS)
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What is written to the log in either form."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter(request.param))
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"Authorization: Bearer {HUSH}", f"Authorization: {SECRET}"),
        (f"Authorization: Custom a={HUSH}, b={HUSH}", f"Authorization: {SECRET}"),
        (f"{{'Authorization': 'Bearer {HUSH}', 'Host': 'x'}}", f"{{'Authorization': '{SECRET}', 'Host': 'x'}}"),
        (f"HTTP_AUTHORIZATION={HUSH}", f"HTTP_AUTHORIZATION={SECRET}"),
        (f"said Bearer {HUSH}.", f"said Bearer {SECRET}"),
        (f"Cookie: sessionid={HUSH}; other={HUSH}", f"Cookie: {SECRET}"),
        (f"Set-Cookie: csrftoken={HUSH}; Path=/", f"Set-Cookie: {SECRET}"),
        (f"sessionid={HUSH}; csrftoken={HUSH}", f"sessionid={SECRET}; csrftoken={SECRET}"),
        (f"postgresql://app:{HUSH}@db:5432/x failed", f"postgresql://app:{SECRET}@db:5432/x failed"),
        (f"redis://:{HUSH}@cache/0", f"redis://:{SECRET}@cache/0"),
        (f"https://u:p@{HUSH}@host/", f"https://u:{SECRET}@host/"),
        (f"host=db password='two words {HUSH}' user=app", f"host=db password={SECRET} user=app"),
        (f'{{"api_key": "{HUSH}", "n": 1}}', f'{{"api_key": {SECRET}, "n": 1}}'),
        (f'"{{\\"client_secret\\": \\"{HUSH}\\"}}"', f'"{{\\"client_secret\\": {SECRET}}}"'),
        (f"GET /x?token={HUSH}&page=2", f"GET /x?token={SECRET}&page=2"),
        (
            f"Stripe-Signature=t=1,v1={HUSH}",
            f"Stripe-Signature={SECRET},v1={HUSH}",
        ),  # signs one body, and opens nothing
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", f"whsec_{SECRET}"),
        ("sk_live_51H8abcdefgh", f"sk_live_{SECRET}"),
        (f"token {JWT} is old", f"token {SECRET} is old"),
        (f"/accounts/password/reset/key/1-{HUSH}/", f"/accounts/password/reset/key/{SECRET}/"),
        (f"/accounts/confirm-email/{HUSH}/", f"/accounts/confirm-email/{SECRET}/"),
        (f"/dashboard/members/join/{HUSH}/?next=/", f"/dashboard/members/join/{SECRET}/?next=/"),
        (f"/dashboard/unsubscribe/{HUSH}/", f"/dashboard/unsubscribe/{SECRET}/"),
    ],
)
def test_what_looks_like_a_secret(text: str, written: str) -> None:
    assert without_secrets(text) == written
    assert without_secrets(written) == written


@pytest.mark.parametrize(
    "text",
    [
        "0 tokens used; tokens=7, token: 3",
        "Send a valid API key as `Authorization: Bearer <key>`, or log in."[:30],
        "http://localhost:8000/api/v1/plans?page=2",
        "charge 019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f of account 7, 10 tokens, is taken back",
        "billing.tasks.apply_due_changes succeeded in 0.0123456789012345678901234s",
        'File "billing_site/gateway.py", line 81, in admit_for',
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.django_db
def test_an_api_key_is_known_wherever_it_stands(bob: Customer) -> None:
    prefix = bob.key.partition(".")[0]
    for text in (bob.key, f"'{bob.key}'", f"key={bob.key}!", f"/x/{bob.key}/y", bob.key.replace(".", "%2E")):
        assert bob.key.partition(".")[2] not in without_secrets(text)
        assert prefix in without_secrets(text)


def test_the_sites_own_by_their_values(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SECRET_KEY = "key " + HUSH
    monkeypatch.setenv("METRICS_TOKEN", "metrics-" + HUSH)
    monkeypatch.setenv("CHAIN_RPC_URLS", f"1=https://node.example/v3/{HUSH},10=https://other.example/{HUSH}")
    monkeypatch.setenv("EMAIL_URL", "smtp+tls://me:p%40ssw0rd-of-mail@host:587")
    text = f"{settings.SECRET_KEY} metrics-{HUSH} https://node.example/v3/{HUSH} p%40ssw0rd-of-mail p@ssw0rd-of-mail"
    assert without_secrets(text) == " ".join([SECRET] * 5)


def test_each_variable_that_is_a_secret_is_known() -> None:
    looks = re.compile(r"(^|_)(KEY|SECRET|TOKEN|PASSWORD|URLS?)(_|$)")
    open_ones = {"API_KEY_PREFIX", "SITE_URL", "AGENT_UPSTREAM_URL"}
    named = {name for name in known.variables if looks.search(name)} - open_ones
    assert named == {*secrets.OWN, *secrets.WITH_PASSWORDS}


def test_short_values_are_no_secrets(settings: Any) -> None:
    settings.SECRET_KEY = "tests"
    assert without_secrets("3 tests") == "3 tests"


@pytest.mark.parametrize(
    "part", ["a", "a.", "://a:", "password ", "cookie ", "eyJ", "-", "sk-", "authorization=", "\\'"]
)
def test_megabytes_are_cut_and_take_no_time(part: str) -> None:
    began = time.process_time()
    written = without_secrets(part * (2_000_000 // len(part)))
    assert len(written) < 70_000
    assert time.process_time() - began < 10  # a pattern that goes back and forth would take minutes


def test_in_messages_arguments_and_tracebacks(log: io.StringIO) -> None:
    logger = logging.getLogger("somebody.elses")
    logger.error("connecting with password=%s", HUSH)
    logger.error("%s", {"Authorization": f"Bearer {HUSH}"})
    try:
        try:
            raise ValueError(f"cannot reach redis://:{HUSH}@cache")
        except ValueError as error:
            raise RuntimeError(f"Cookie: sessionid={HUSH}") from error
    except RuntimeError:
        logger.exception("it failed")
    logger.warning("with a stack; token=%s", HUSH, stack_info=True)
    assert HUSH not in log.getvalue()
    assert log.getvalue().count(SECRET) >= 5  # a stack shows lines of the code, too
    assert "RuntimeError" in log.getvalue() and "test_secrets.py" in log.getvalue()


@pytest.mark.django_db
class TestRequests:
    """What a client sends reaches the log by ways of its own choosing."""

    def test_a_key_in_the_place_of_a_request_id(self, bob: Customer, log: io.StringIO) -> None:
        headers = {"X-Request-ID": bob.key}
        bob.api.get("/api/v1/trace/start?fail=exception", headers=headers)
        assert "SandboxFailure" in log.getvalue()
        assert bob.key.partition(".")[2] not in log.getvalue()

    @pytest.mark.parametrize("header", ["Authorization", "Cookie", "Idempotency-Key", "Usage-Run", "Accept"])
    def test_secrets_in_bad_headers_and_500s(self, bob: Customer, log: io.StringIO, header: str) -> None:
        value = {"Cookie": f"sessionid={HUSH}"}.get(header, f"Bearer {HUSH}")
        Client(raise_request_exception=False).get(
            f"/api/v1/trace/start?fail=exception&token={HUSH}", headers={header: value, "X-Request-ID": f"token={HUSH}"}
        )
        logging.getLogger("end").warning("there was something to look at")
        assert HUSH not in log.getvalue()

    def test_an_exception_that_holds_the_request(self, bob: Customer, log: io.StringIO, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__
        client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {bob.key}"})
        assert client.get(f"/leaks?password={HUSH}").status_code == 500
        assert "cannot go on" in log.getvalue()
        assert HUSH not in log.getvalue() and bob.key.partition(".")[2] not in log.getvalue()
        assert site_settings.DATABASE_URL

    def test_a_path_writes_no_line_of_its_own(self, bob: Customer, log: io.StringIO, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__
        Client(raise_request_exception=False).get("/leaks/%0a2026-01-01%20ERROR%20billing%20-%20forged")
        logging.getLogger("x").warning("said of %s", "a\n2026-01-01 ERROR billing - forged")
        assert [line for line in log.getvalue().splitlines() if line.startswith("2026-01-01 ERROR")] == []


def _leaks(request: Any, rest: str = "") -> Any:
    raise RuntimeError(f"cannot go on with {dict(request.headers)} {request.get_full_path()}")


def _handler(request: Any) -> HttpResponse:
    return HttpResponse(status=500)


handler500 = _handler
urlpatterns = [re_path(r"^leaks(?P<rest>(.|\n)*)$", _leaks)]


def test_what_is_json_is_json() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "password=%s \n\u2028", (HUSH,), None)
    assert json.loads(formatter("json").format(record))["message"] == f"password={SECRET} \n\u2028"
