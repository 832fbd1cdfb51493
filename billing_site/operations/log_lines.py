"""The log: one line an event, to stderr."""

from __future__ import annotations

from typing import Any


def lines_from(level: str) -> dict[str, Any]:
    """What Django's LOGGING takes; `level` is the least that is written."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s"}},
        "filters": {"request_id": {"()": "billing_site.request.request_id.RequestIdFilter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # A line for each refused call, or for each second of the sweep, would bury what matters.
            "django.request": {"level": "ERROR"},
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
            "mcp": {"level": "WARNING"},
            # Fifty lines for each document that is drawn.
            "fontTools": {"level": "WARNING"},
            "fpdf": {"level": "WARNING"},
            "factur-x": {"level": "WARNING"},
        },
    }
