"""A person at a browser: follows pages of the site, fills in the forms they show and sends them."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from tests.journeys.server import Server


class _Fields(HTMLParser):
    """The values a page's forms would send, as they stand on the page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name")
        if tag == "input" and name and given.get("type") not in ("submit", "button", "file"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.values[name] = given.get("value") or ("on" if given.get("type") == "checkbox" else "")
        elif tag == "select":
            self._select = name
            if name:
                self.values[name] = [] if "multiple" in given else ""
        elif tag == "option" and self._select and "selected" in given:
            if isinstance(self.values[self._select], list):
                self.values[self._select].append(given.get("value"))
            else:
                self.values[self._select] = given.get("value") or ""
        elif tag == "textarea" and name:
            self._textarea, self.values[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        self._select = None if tag == "select" else self._select
        self._textarea = None if tag == "textarea" else self._textarea

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] += data


class Browser:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.session = server.session()

    def open(self, path: str) -> str:
        response = self.session.get(f"{self.server.url}{path}", timeout=60)
        assert response.status_code == 200, (path, response.status_code)
        return response.text

    def send(self, path: str, leave_out: tuple[str, ...] = (), **filled: Any) -> str:
        """Open the page, fill these fields of its form, send it; returns the page that follows."""
        fields = _Fields()
        fields.feed(self.open(path))
        values = {name: value for name, value in fields.values.items() if name not in leave_out} | filled
        response = self.session.post(
            f"{self.server.url}{path}", values, headers={"Referer": f"{self.server.url}{path}"}, timeout=60
        )
        errors = re.findall(r'class="[^"]*errornote[^"]*"|This field is required', response.text)
        assert response.status_code == 200 and not errors, (path, response.status_code, errors)
        return response.text

    def log_in(self, username: str, password: str) -> None:
        page = self.send("/admin/login/?next=/admin/", username=username, password=password)
        assert "Log out" in page or "logout" in page


def text_at(page: str, element: str) -> str:
    """What stands in the element of that id."""
    found = re.search(rf'id="{element}"[^>]*>([^<]*)<', page)
    assert found, f"no element {element}"
    return unescape(found.group(1))
