"""A customer of whom little is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from billing.models import LimitOverride
from tests.cast import Customer


@pytest.fixture
def limited(erin: Customer) -> Callable[[int], Customer]:
    """Erin, with so many tokens a window."""

    def limit(tokens: int) -> Customer:
        LimitOverride.objects.create(account=erin.user, limit="quota", maximum=tokens)
        return erin

    return limit
