"""The gateway stands once in MIDDLEWARE, and before what has to stand within it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as site_settings

from billing_site.operations.checks.middleware import CALLERS_USER, GATEWAY
from tests.billing_site.operations.checks.said import said_of_settings


def test_views_are_told_the_callers_user(settings: Any) -> None:
    django = "django.contrib.auth.middleware.AuthenticationMiddleware"
    settings.MIDDLEWARE = [django if name == CALLERS_USER else name for name in settings.MIDDLEWARE]
    assert said_of_settings() == ["billing_site.E016"]


@pytest.mark.parametrize("times", [0, 2])
def test_the_gateway_stands_once(settings: Any, times: int) -> None:
    others = [name for name in settings.MIDDLEWARE if name != GATEWAY]
    settings.MIDDLEWARE = [GATEWAY] * times + others
    assert said_of_settings() == ["billing_site.E001"]


@pytest.mark.parametrize("position", range(len(site_settings.MIDDLEWARE)))
def test_the_gateway_stands_before_all_of_djangos(settings: Any, position: int) -> None:
    others = [name for name in settings.MIDDLEWARE if name != GATEWAY]
    settings.MIDDLEWARE = [*others[:position], GATEWAY, *others[position:]]
    assert said_of_settings() == (["billing_site.E002"] if position > 1 else [])
