"""Receivers that really listen, on this machine, which only DEBUG allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from freezegun import freeze_time

from tests.billing.webhooks.telling import NOON
from tests.servers.webhooks.receiver import Receiver, running


@pytest.fixture(autouse=True)
def debug(settings: Any) -> None:
    settings.DEBUG = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as it:
        yield it


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    with running() as it:
        yield it


@pytest.fixture
def noon() -> Iterator[Any]:
    with freeze_time(NOON, tick=True) as clock:
        yield clock
