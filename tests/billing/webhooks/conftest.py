"""Receivers that really listen, on this machine, which only DEBUG allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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
