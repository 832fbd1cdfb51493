"""Lines say of which request and account they are, in either form."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from billing_site.operations.logs.configuration import formatter, lines_from
from tests.cast import Customer


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(request.param))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def told(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"for {request.user.pk}")


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=500)


urlpatterns = [path("fails", fails)]


@pytest.mark.django_db
@pytest.mark.parametrize("written", ["json"], indirect=True)
class TestJson:
    def test_a_line_of_a_callers_request(self, bob: Customer, written: io.StringIO) -> None:
        bob.api.get("/api/v1/trace/start?fail=503", headers={"X-Request-ID": "one"})
        (line,) = [line for line in told(written) if line["logger"] == "django.request"]
        assert (line["request"], line["account"], line["level"]) == ("one", bob.account, "ERROR")
        assert line["time"].endswith("Z") and "error" not in line

    def test_a_line_within_the_view_and_its_traceback(self, bob: Customer, written: io.StringIO) -> None:
        bob.api.get("/api/v1/trace/start?fail=exception", headers={"X-Request-ID": "two"})
        line = next(line for line in told(written) if "error" in line)
        assert (line["request"], line["account"]) == ("two", bob.account)
        assert line["error"].startswith("Traceback") and "SandboxFailure" in line["error"]

    def test_a_line_of_somebody_logged_in(self, bob: Customer, written: io.StringIO, settings: Any) -> None:
        client = Client(raise_request_exception=False)
        client.force_login(bob.user)
        settings.ROOT_URLCONF = __name__
        client.get("/fails")
        lines = [line for line in told(written) if line["logger"] == "django.request"]
        assert {line["account"] for line in lines} == {bob.account}

    def test_a_line_of_nobody(self, written: io.StringIO) -> None:
        logging.getLogger("elsewhere").warning("%s", "said")
        (line,) = told(written)
        assert set(line) == {"time", "level", "logger", "message"}


@pytest.mark.django_db
@pytest.mark.parametrize("written", ["line"], indirect=True)
def test_a_line_for_people(bob: Customer, written: io.StringIO) -> None:
    bob.api.get("/api/v1/trace/start?fail=503", headers={"X-Request-ID": "three"})
    logging.getLogger("elsewhere").warning("a\nb")
    first, second = written.getvalue().splitlines()
    assert f" ERROR django.request three account={bob.account} " in first
    assert second.endswith(" WARNING elsewhere - a\\nb")


@pytest.mark.parametrize("form", ["line", "json"])
def test_the_settings_take_either_form(form: str) -> None:
    told = lines_from("INFO", form)
    assert told["formatters"][told["handlers"]["stderr"]["formatter"]]["form"] == form
