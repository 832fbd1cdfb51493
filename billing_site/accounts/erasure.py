"""What log-in pages hold of a person: addresses and second factors. They go with the person."""

from __future__ import annotations

from billing.erasure import columns

EMPTIED: dict[str, columns.Columns] = {}
DELETED = {"account.EmailAddress": "user", "mfa.Authenticator": "user"}
BY_THEMSELVES = {"account.EmailConfirmation": "deleted with its address"}
KEPT: dict[str, str] = {}


def held(account: int) -> dict[str, int]:
    """See billing.erasure.erasers."""
    return columns.held(account, EMPTIED, DELETED)


def erase(account: int, username: str) -> None:
    """See billing.erasure.erasers."""
    columns.empty(account, EMPTIED, DELETED)


def check_deletable(account: int) -> None:
    """See billing.erasure.erasers. Nothing of it has to stay."""
