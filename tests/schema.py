"""Every response that a test gets through the API is held against the OpenAPI document."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.http.response import HttpResponseBase
from django.test import Client, override_settings
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from billing.http.error_codes import ERRORS, type_of
from billing_site.openapi import document as of_the_site

PREFIX = "/api/v1/"
JSON, PROBLEM, PDF = "application/json", "application/problem+json", "application/pdf"
STREAM = "text/event-stream"
NAME = "urn:openapi"


@cache
def document() -> dict[str, Any]:
    """That of the site itself. It is made once a process, maybe by a test whose URLs are those of a host product."""
    with override_settings(ROOT_URLCONF="billing_site.urls"):
        return of_the_site.document()


class CheckedClient(Client):
    """A test client that fails the test when a response of the API is not as documented."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Threads that share a client and come first would load it at once: one starts over what another uses already.
        self.handler.load_middleware()

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        check(response, request["REQUEST_METHOD"], request["PATH_INFO"])
        return response


def check(response: HttpResponseBase, method: str, path: str) -> None:
    """AssertionError unless status, media type, body and headers are what the document says of the operation.

    Paths outside of the document (a host's own views) may answer what they like, but their problems have to be
    problems. A page for a browser, a HEAD and an OPTIONS have no documented body.
    """
    if not path.startswith(PREFIX) or method == "OPTIONS":
        return
    what = f"{method} {path} -> {response.status_code}"
    documented = _documented(path)
    operation = document()["paths"][documented].get(_as_get(method).lower()) if documented else None
    if operation is None:
        assert documented is None or response.status_code >= 400, f"{what}: the method is not documented"
        if _media_type(response) == PROBLEM:
            _check_body(what, response, "/components/schemas/Problem")
        return
    pointer = f"/paths/{_escaped(documented)}/{_as_get(method).lower()}/responses"
    status, described = _described(operation["responses"], response.status_code)
    assert described is not None, f"{what}: the status is not documented"
    if "$ref" in described:
        pointer, described = described["$ref"].lstrip("#"), _at(described["$ref"].lstrip("#"))
    else:
        pointer = f"{pointer}/{status}"
    _check_headers(what, response, described.get("headers", {}), pointer)
    _check_content(what, response, method, described.get("content", {}), pointer)


def _check_content(what: str, response: Any, method: str, content: dict[str, Any], pointer: str) -> None:
    media_type = _media_type(response)
    if media_type == "text/html":
        return
    if method == "HEAD" or not content:
        assert not response.content, f"{what}: a body, and none is documented"
        return
    assert media_type in content, f"{what}: {media_type} is not documented"
    if media_type == STREAM:
        return  # it has not begun yet
    if media_type == PDF:
        assert response.content.startswith(b"%PDF-"), what
        return
    _check_body(what, response, f"{pointer}/content/{_escaped(media_type)}/schema")


def _check_body(what: str, response: Any, pointer: str) -> None:
    body = json.loads(response.content)
    errors = [f"{error.json_path}: {error.message}" for error in validator(pointer).iter_errors(body)]
    assert not errors, f"{what} is not as documented:\n" + "\n".join(errors) + f"\n{body}"
    if "jsonrpc" in body:
        body = body.get("error", {}).get("data")
    if response.status_code >= 400 and isinstance(body, dict) and "status" in body:
        assert body["status"] == response.status_code, what
        waits = {body.get("retry_after"), response.headers.get("Retry-After")} - {None}
        assert len({int(wait) for wait in waits}) < 2, f"{what}: retry_after and Retry-After differ: {waits}"
        link = type_of(response.status_code, body["code"])  # whole, where it is read on another site
        assert body["type"] in (link, urljoin(settings.SITE_URL, link)), what
        is_asked_for = body["code"] == "sandbox_failure"
        assert body["code"] in ERRORS or is_asked_for, f"{what}: {body['code']} is not explained"


def _check_headers(what: str, response: Any, described: dict[str, Any], at: str) -> None:
    for name, header in described.items():
        pointer, value = f"{at}/headers/{_escaped(name)}", response.headers.get(name)
        if "$ref" in header:
            pointer = header["$ref"].lstrip("#")
            header = _at(pointer)  # noqa: PLW2901
        if value is None:
            assert not header.get("required"), f"{what}: {name} is missing"
            continue
        typed = int(value) if header["schema"]["type"] == "integer" else value
        errors = [error.message for error in validator(f"{pointer}/schema").iter_errors(typed)]
        assert not errors, f"{what}: {name}: {errors}"


@cache
def validator(pointer: str) -> OAS31Validator:
    """A validator of the schema at the place (a JSON pointer), members that are not documented forbidden."""
    return OAS31Validator({"$ref": f"{NAME}#{pointer}"}, registry=_registry(), format_checker=oas31_format_checker)


@cache
def _registry() -> Any:
    closed = deepcopy(document())
    _close(closed["paths"])
    for kind in ("responses", "headers"):
        _close(closed["components"][kind])
    for name, schema in closed["components"]["schemas"].items():
        if name != "Problem":  # the others build upon it
            _close(schema)
    return Registry().with_resource(NAME, DRAFT202012.create_resource(closed))


def _close(node: Any) -> None:
    """Clients have to bear members that come later; here one that is not documented is a mistake."""
    if isinstance(node, dict):
        described = node.get("type") == "object" and isinstance(node.get("properties"), dict)
        if described and "additionalProperties" not in node:
            node["unevaluatedProperties"] = False
        for name, value in node.items():
            if name not in ("example", "examples"):
                _close(value)
    elif isinstance(node, list):
        for value in node:
            _close(value)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Documented paths, those without variables first; a trailing slash is accepted."""
    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "/?"), path) for path in paths]


@cache
def _below_sandbox() -> list[str]:
    return [path for path, methods in document()["paths"].items() if methods.get("get", {}).get("tags") == ["sandbox"]]


def _documented(path: str) -> str | None:
    for pattern, documented in _patterns():
        if pattern.fullmatch(path):
            return documented
    # The sandbox answers below its paths as well, so that prefixes of routes can be tried.
    return next((documented for documented in _below_sandbox() if path.startswith(documented + "/")), None)


def _described(responses: dict[str, Any], status: int) -> tuple[str, dict[str, Any] | None]:
    """The entry of a status, or of its class (4XX)."""
    exact = str(status)
    found = exact if exact in responses else f"{exact[0]}XX"
    return found, responses.get(found)


def _at(pointer: str) -> Any:
    node: Any = document()
    for segment in pointer.strip("/").split("/"):
        node = node[segment.replace("~1", "/").replace("~0", "~")]
    return node


def _escaped(segment: str) -> str:
    return segment.replace("~", "~0").replace("/", "~1")


def _media_type(response: HttpResponseBase) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0]


def _as_get(method: str) -> str:
    return "GET" if method == "HEAD" else method
