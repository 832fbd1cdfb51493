"""A customer who is logged in."""

from __future__ import annotations

import pytest

from tests.billing_site.browsable.browser import Browser, in_browser
from tests.cast import Customer


@pytest.fixture
def alice_in_browser(alice: Customer) -> Browser:
    return in_browser(alice)
