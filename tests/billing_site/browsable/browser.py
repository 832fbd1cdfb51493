"""A browser at the API: it logs in, keeps cookies, asks for pages and is held to CSRF."""

from __future__ import annotations

import re
from typing import Any

from tests.cast import Customer
from tests.schema import CheckedClient

PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LOGIN = "/api/auth/login/"
CURRENT = "/api/v1/usage/current"
TRACK = "/api/v1/usage/track"


class Browser(CheckedClient):
    """A client that asks for pages, keeps cookies, and is held to CSRF as a browser is."""

    def __init__(self) -> None:
        super().__init__(enforce_csrf_checks=True, headers={"accept": PAGE})

    def log_in(self, name: str, password: str, **more: str) -> Any:
        page = self.get(LOGIN, more)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]} | more
        return self.post(LOGIN, form)

    def track(self, feature: str, token: str | None = None) -> Any:
        """What the page's raw data form sends."""
        headers = {"accept": "text/html; q=1.0, */*"} | ({} if token is None else {"x-csrftoken": token})
        return self.post(TRACK, {"feature": feature}, content_type="application/json", headers=headers)

    @property
    def token(self) -> str:
        return str(self.cookies["csrftoken"].value)


def in_browser(customer: Customer) -> Browser:
    customer.user.set_password("correct horse")
    customer.user.save()
    browser = Browser()
    assert browser.log_in(customer.user.username, "correct horse").status_code == 302
    return browser


def left(response: Any) -> int:
    """Requests left in the minute."""
    return int(response["X-RateLimit-Remaining"])


def is_page(response: Any) -> bool:
    return bool(response["Content-Type"].startswith("text/html"))
