"""The log: one line an event, to stderr, in one of two forms, with its request and account, and without secrets."""

from __future__ import annotations

import logging
from typing import Any, Final

FORMATS: Final = ("line", "json")


def formatter(form: str) -> logging.Formatter:
    """Of one of FORMATS."""
    from billing_site.operations.logs.formats import Json, Line

    return Json() if form == "json" else Line()


def lines_from(level: str, form: str = "line") -> dict[str, Any]:
    """What Django's LOGGING takes; `level` is the least that is written, `form` one of FORMATS."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": "billing_site.operations.logs.configuration.formatter", "form": form}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
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
