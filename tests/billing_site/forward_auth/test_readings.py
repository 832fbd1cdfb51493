"""What a target may be read as: whatever a server makes of it is among the readings."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models.catalogue.features import normalised_path
from billing_site.forward_auth.readings import PLAIN, Unreadable, readings

START = "/api/v1/trace/start"


@pytest.mark.parametrize(
    "target",
    [
        START,
        f"{START}/",
        f"{START}?a=/../b",
        f"{START}?",
        f"{START}#fragment",
        f"{START}%23fragment",
        f"{START}%3Fa",
        "//api/v1/trace/start",
        "/api//v1/trace//start",
        "/API/v1/Trace/START",
        "/api%2Fv1%2ftrace%2fstart",
        "/%2fapi/v1/trace/start",
        "/api/v1/trace/%73tart",
        "/plans/../api/v1/trace/start",
        "/plans/%2e%2e/api/v1/trace/start",
        "/plans/.%2e%2fapi/v1/trace/start",
        "/./api/v1/./trace/start",
        "/../../api/v1/trace/start",
        f"{START};x=1",
        "/api;x/v1;y/trace/start",
        "/plans/..;/api/v1/trace/start",
        "/api\\v1\\trace\\start",
        "/api/v1%5ctrace/start",
        "/plans\\..\\api/v1/trace/start",
        "//evil.example/api/v1/trace/start",
        "http://evil.example/api/v1/trace/start?x",
        "http:///api/v1/trace/start",
        "HTTPS://u:p@evil.example:80//api/v1/trace/start",
    ],
)
def test_every_spelling_may_be_read_as_the_plain_path(target: str) -> None:
    assert START in readings(target)


@pytest.mark.parametrize(
    ("target", "as_written"),
    [
        (f"{START}/../../plans", f"{START}/../../plans"),
        ("/items/a%2fb/parts", "/items/a%2fb/parts"),
        ("/items/a;b/parts", "/items/a;b/parts"),
        ("/api/v1/trace/%2573tart", "/api/v1/trace/%73tart"),
        ("http://evil.example", "/"),
        ("/caf\xc3\xa9", "/café"),
        ("/caf%C3%A9", "/café"),
        ("/%ff", "/\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_what_is_written_stays_a_reading(target: str, as_written: str) -> None:
    assert as_written in readings(target)


def test_it_is_decoded_once() -> None:
    assert START not in readings("/api/v1/trace/%2573tart")


@pytest.mark.parametrize(
    "target", ["", "*", "api/v1/trace/start", "http:/api/v1/trace/start", "?x", f"{START}%00", f"{START}%0a", "/a\tb"]
)
def test_no_target_of_a_client_is_refused(target: str) -> None:
    with pytest.raises(Unreadable):
        readings(target)


paths = st.text(alphabet="/./.;%25aefAEF\\#?sb2", max_size=24).map(lambda text: f"/{text}")


@given(paths)
def test_what_servers_make_of_it_is_among_them(target: str) -> None:
    """A server of WSGI, one that splits as RFC 3986 says, and one that resolves dots."""
    try:
        found = readings(target)
    except Unreadable:
        return
    decoded = unquote(target.split("?", maxsplit=1)[0])
    assert normalised_path(decoded) in found
    assert normalised_path(unquote(urlsplit(target).path)) in found
    kept: list[str] = []
    for segment in decoded.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    assert normalised_path("/".join(kept)) in found


@given(paths)
def test_what_is_taken_for_plain_is_read_in_one_way(target: str) -> None:
    path = target.partition("?")[0]
    if PLAIN.fullmatch(path):
        assert readings(f"{path}#") == readings(path) | {normalised_path(f"{path}#")}
