"""Asking localstripe, and forms as Stripe's clients send them."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

KEY = "sk_test_front"


class Failed(Exception):
    """An answer that is an error: its status and body."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(status, error)
        self.status = status
        self.body = {"error": dict(error)}


class Upstream:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, form: Mapping[str, Any] | None = None) -> Any:
        """Its JSON; raises Failed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = urlencode(list(flat(form or {})))
        if method == "GET" and body:
            path, body = f"{path}?{body}", ""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Failed(answer.status, _error(answer.status, text))
        return json.loads(text) if text else None


def _error(status: int, text: bytes) -> dict[str, Any]:
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError):
        error = {"message": text.decode(errors="replace")[:200]}
    error.setdefault("type", "invalid_request_error")
    if status == 404:
        error["code"] = "resource_missing"
    return dict(error)


def flat(values: Mapping[str, Any], within: str = "") -> Iterable[tuple[str, str]]:
    """`{"card": {"cvc": 1}}` as `card[cvc]=1`; what is None is left out."""
    for name, value in values.items():
        key = f"{within}[{name}]" if within else name
        if isinstance(value, Mapping):
            yield from flat(value, key)
        elif isinstance(value, list):
            yield from flat({str(number): each for number, each in enumerate(value)}, key)
        elif value is not None:
            yield key, str(value).lower() if isinstance(value, bool) else str(value)


def nested(form: str) -> dict[str, Any]:
    """The other way round; what is numbered becomes a list."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", key)
        place, name = tree, first
        for deeper in rest:
            place, name = place.setdefault(name, {}), deeper
        place[name] = value
    return {name: _listed(value) for name, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    held = {name: _listed(each) for name, each in value.items()}
    return list(held.values()) if held and all(name.isdigit() for name in held) else held
