"""What billing's commands take on their command line."""

from __future__ import annotations

from datetime import UTC, datetime

from django.core.management.base import CommandError

from billing.rules.periods import as_utc


def parsed_time(text: str, option: str = "--at") -> datetime:
    """An ISO 8601 date (00:00) or time; UTC where it names no zone. Raises CommandError."""
    try:
        at = datetime.fromisoformat(text.strip())
        return as_utc(at if at.tzinfo else at.replace(tzinfo=UTC))
    except ValueError:
        example = "2026-11-01 or 2026-11-01T12:00:00Z"
        raise CommandError(f"{option} {text!r} is no time; give one in ISO 8601 such as {example}") from None
