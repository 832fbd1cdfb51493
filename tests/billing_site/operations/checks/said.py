"""What the checks of a test say."""

from __future__ import annotations

from django.core.checks import CheckMessage, run_checks

from billing_site.operations.checks.start import ENFORCEMENT


def ids(messages: list[CheckMessage]) -> list[str]:
    assert all(message.msg and message.hint for message in messages)
    return [str(message.id) for message in messages]


def said_of_settings() -> list[str]:
    """The ids of what is wrong with the settings."""
    return ids(run_checks(tags=[ENFORCEMENT]))
