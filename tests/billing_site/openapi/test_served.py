"""The document over HTTP, and the page that shows it."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser

import yaml
from django.test import Client

from billing_site.openapi.document import document
from billing_site.openapi.view import CACHED_SECONDS


def test_schema_is_served_to_anybody_as_json_or_yaml(db: None) -> None:
    plain = Client().get("/api/schema")
    assert (plain.status_code, plain["Content-Type"]) == (200, "application/json")
    assert plain.json() == document()
    as_yaml = Client().get("/api/schema", headers={"accept": "application/yaml"})
    assert as_yaml["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(as_yaml.content) == document()
    in_browser = Client().get("/api/schema", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert in_browser["Content-Type"] == "application/json"
    with_bad_key = Client().get("/api/schema", headers={"authorization": "Bearer nonsense"})
    assert with_bad_key.status_code == 200


def test_schema_is_cached_and_then_asked_for_by_its_etag(db: None) -> None:
    first = Client().get("/api/schema")
    assert set(first["Cache-Control"].split(", ")) == {"public", f"max-age={CACHED_SECONDS}"}
    assert "Accept" in first["Vary"] and "Cookie" not in first["Vary"] and not first.cookies
    again = Client().get("/api/schema", headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    as_yaml = Client().get("/api/schema", headers={"if-none-match": first["ETag"], "accept": "application/yaml"})
    assert as_yaml.status_code == 200 and as_yaml["ETag"] != first["ETag"]


def test_schema_is_compressed_for_those_who_can_read_that(db: None) -> None:
    zipped = Client().get("/api/schema", headers={"accept-encoding": "gzip"})
    assert json.loads(gzip.decompress(zipped.content)) == document()
    assert "Accept-Encoding" in zipped["Vary"]
    again = Client().get("/api/schema", headers={"accept-encoding": "gzip", "if-none-match": zipped["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


class References(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in ("src", "href")]


def test_docs_page_is_open_to_anybody_and_loads_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs")
    assert page.status_code == 200
    references = References(page.text).found
    assert len(references) >= 4
    script = "/api/docs?script="  # the page's own, as a file, since no inline script may run
    assert script in references
    for reference in references:
        assert reference in (script, "/api/schema") or reference.startswith("/static/")
        assert Client().get(reference).status_code == 200
    assert not re.search(r"https?://", page.text)
    assert 'url: "/api/schema"' in Client().get(script).text
    assert '"validatorUrl": null' in Client().get(script).text
