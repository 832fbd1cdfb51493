"""What packages above billing hold of an account: the modules that ACCOUNT_ERASERS names."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from django.conf import settings

FUNCTIONS = ("held", "erase", "check_deletable")


class Eraser(Protocol):
    def held(self, account: int) -> dict[str, int]:
        """What `erase` would empty or delete: how many of each kind."""

    def erase(self, account: int, username: str) -> None:
        """Do it, in transactions of its own; done again it does the rest. Raises ErasureWaits."""

    def check_deletable(self, account: int) -> None:
        """Raises Refused where something of the account has to stay."""


def erasers() -> list[Eraser]:
    return [cast(Eraser, import_module(name)) for name in settings.ACCOUNT_ERASERS]
