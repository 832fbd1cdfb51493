"""Requests as they come in: JSON within bounds, however it is sent; anything else is a clear 4xx, never a 500."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.cast import Customer
from tests.contract import left, problem

pytestmark = pytest.mark.django_db


class TestRequests:
    def test_what_is_not_there(self, bob: Customer) -> None:
        for path in ("nothing", "plans/nope", "usage", "usage/events/nope", "trace", "trace/starter"):
            problem(bob.api.get(f"/api/v1/{path}"), 404, "not_found")
        problem(Client().get("/api/v1/nothing"), 404, "not_found")
        problem(Client().get("/api/v2/nothing"), 404, "not_found")

    def test_methods(self, bob: Customer) -> None:
        for method, path in (("PUT", "usage/current"), ("GET", "usage/track"), ("DELETE", "plans")):
            response = bob.api.generic(method, f"/api/v1/{path}")
            told = problem(response, 405, "method_not_allowed")["detail"]
            assert told == f'Method "{method}" not allowed. Allowed are: {response["Allow"]}.'

    def test_media_types(self, bob: Customer) -> None:
        problem(bob.api.get("/api/v1/plans", headers={"accept": "image/png"}), 406, "not_acceptable")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
            response = bob.api.post("/api/v1/usage/track", '{"feature": "trace_start"}', content_type=kind)
            told = problem(response, 415, "unsupported_media_type")["detail"]
            assert told.endswith(" Send application/json.")
        assert left(bob.api.get("/api/v1/usage/current"))["quota"] == 500

    @pytest.mark.parametrize("path", ["usage/current", "plans", "trace/start", "billing/invoices"])
    def test_formats(self, bob: Customer, path: str) -> None:
        assert bob.api.get(f"/api/v1/{path}?format=json").status_code == 200
        told = problem(bob.api.get(f"/api/v1/{path}?format=xml"), 406, "not_acceptable")["detail"]
        assert told == "There is no such format. Known are: json, api."

    @pytest.mark.parametrize("boundary", ["a", "", "\x7f"])
    def test_a_form_is_no_json_however_it_was_read_before(self, bob: Customer, boundary: str) -> None:
        kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"
        browser = Client(headers={"X-CSRFToken": "t" * 32}, enforce_csrf_checks=True)
        browser.force_login(bob.user)
        browser.cookies["csrftoken"] = "t" * 32
        form = b"--a\r\nContent-Disposition: form-data; name=b\r\n\r\n1\r\n--a--\r\n"
        for client in (bob.api, browser) if boundary == "a" else (bob.api,):
            for path in ("trace/start", "usage/track", "usage/check"):
                for headers in ({}, {"Idempotency-Key": "k"}):
                    response = client.generic("POST", f"/api/v1/{path}", form, content_type=kind, headers=headers)
                    problem(response, 415, "unsupported_media_type")
        assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == 0

    @pytest.mark.parametrize(("size", "status"), [(999_999, 400), (1_000_000, 400), (1_000_001, 413)])
    def test_size(self, bob: Customer, size: int, status: int) -> None:
        body = '{"feature": "%s"}' % ("x" * (size - 15))
        assert len(body) == size
        for path in ("track", "check"):
            response = bob.api.post(f"/api/v1/usage/{path}", body, content_type="application/json")
            if status == 413:
                problem(response, 413, "too_large")
            else:
                problem(response, 400, "invalid", {"errors"})

    BAD_JSON = {
        "cut off": b'{"feature": "trace_start"',
        "not JSON": b"feature=trace_start",
        "NaN": b'{"feature": "trace_start", "metadata": {"a": NaN}}',
        "infinity": b'{"feature": "trace_start", "metadata": {"a": -Infinity}}',
        "beyond a double": b'{"feature": "trace_start", "metadata": {"a": 1e400}}',
        "more digits than Python reads": b'{"feature": "trace_start", "metadata": {"a": %s}}' % (b"9" * 5000),
        "deep": b'{"feature": "trace_start", "metadata": %s{}%s}' % (b'{"a":' * 300, b"}" * 300),
        "deeper than Python reads": b"[" * 100_000,
        "half a surrogate pair": rb'{"feature": "trace_start", "metadata": {"a": "\ud800"}}',
        "half a pair in a name": rb'{"\udfff": 1}',
        "not UTF-8": b'{"feature": "trace_start", "metadata": {"a": "\xe9"}}',
        "a byte order mark": b'\xef\xbb\xbf{"feature": "trace_start"}',
        "UTF-16": '{"feature": "trace_start"}'.encode("utf-16"),
    }

    @pytest.mark.parametrize("name", BAD_JSON)
    @pytest.mark.parametrize("path", ["usage/track", "usage/check", "trace/start"])
    def test_what_is_not_json_within_bounds(self, bob: Customer, path: str, name: str) -> None:
        for kind in ("application/json", "application/json; charset=latin-1", "application/*"):
            response = bob.api.generic("POST", f"/api/v1/{path}", self.BAD_JSON[name], content_type=kind)
            body = problem(response, 400, "invalid", {"errors"})
            assert list(body["errors"]) == ["non_field_errors"]
            assert not re.search(r"sys\.|utf-8-sig", body["detail"]), "advice to who writes Python"
            assert left(response)["quota"] == 500

    BAD_TRACK = {
        "an array": ("[]", "non_field_errors"),
        "a text": ('"trace_start"', "non_field_errors"),
        "null": ("null", "non_field_errors"),
        "a number": ("1", "non_field_errors"),
        "nothing": ("", "feature"),
        "an empty object": ("{}", "feature"),
        "another type": ('{"feature": {"a": 1}}', "feature"),
        "a list": ('{"feature": ["trace_start"]}', "feature"),
        "true": ('{"feature": true}', "feature"),
        "null inside": ('{"feature": null}', "feature"),
        "blank": ('{"feature": " "}', "feature"),
        "NUL": (r'{"feature": "trace_start\u0000"}', "feature"),
        "unknown": ('{"feature": "nope"}', "feature"),
        "too long": ('{"feature": "%s"}' % ("x" * 51), "feature"),
    }

    @pytest.mark.parametrize("name", BAD_TRACK)
    @pytest.mark.parametrize("path", ["track", "check"])
    def test_what_is_not_the_right_json(self, bob: Customer, path: str, name: str) -> None:
        text, field = self.BAD_TRACK[name]
        response = bob.api.generic("POST", f"/api/v1/usage/{path}", text, content_type="application/json")
        assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == [field]
        assert left(response) == {"minute": 29, "quota": 500}

    def test_unknown_fields_are_named(self, bob: Customer) -> None:
        response = bob.post("/api/v1/usage/track", {"feature": "trace_start", "zeta": 1, "\x00": 2, "alpha": 3})
        assert sorted(problem(response, 400, "invalid", {"errors"})["errors"]) == ["\x00", "alpha", "zeta"]
        response = bob.api.get("/api/v1/usage/current?x=1&y=%00")
        assert sorted(problem(response, 400, "invalid", {"errors"})["errors"]) == ["x", "y"]

    def test_a_charset_changes_nothing(self, bob: Customer) -> None:
        for kind in ("application/json; charset=utf-16", "Application/JSON", "application/*", "*/*"):
            response = bob.api.generic("POST", "/api/v1/usage/track", '{"feature": "risk_score"}', content_type=kind)
            assert response.status_code == 200, kind
            assert response["X-Usage-Cost"] == "2"

    def test_an_internal_error_shows_no_trace(self, bob: Customer) -> None:
        body = problem(bob.api.get("/api/v1/trace/start?fail=exception"), 500, "internal_error")
        assert "SandboxFailure" not in str(body) and "Traceback" not in str(body)
