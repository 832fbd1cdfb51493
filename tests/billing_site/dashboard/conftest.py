"""A customer at the dashboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client


def text(page: str) -> str:
    """As it is read, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


class Person:
    """Somebody logged in, who fills in the form that a page shows."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def open(self, path: str) -> str:
        """The page's text, as it is read. Fails where it is no page."""
        answer = self.client.get(f"/dashboard/{path}")
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def fields(self, path: str) -> dict[str, str]:
        """The hidden fields of the page's last form."""
        form = self.open(path).rsplit("<main", 1)[1].split("</main>")[0].rsplit("<form", 1)[1]
        return {
            name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        }

    def send(self, path: str, **fields: Any) -> str:
        """The page that follows."""
        answer = self.client.post(f"/dashboard/{path}", fields, follow=True)
        assert answer.status_code == 200, (path, answer.status_code)
        return unescape(answer.text)

    def confirm(self, path: str, **more: Any) -> str:
        """Open a page that asks, and say yes."""
        return self.send(path, **self.fields(path), **more)


@pytest.fixture
def at_dashboard() -> Callable[[User], Person]:
    return Person
