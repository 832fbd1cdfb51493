"""The two forms of a log line: for people, and as a JSON object for what collects logs. Neither holds a secret."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from billing_site.operations.logs.secrets import without_secrets
from billing_site.request.request_id import RequestIdFilter

LINE = "%(asctime)s %(levelname)s %(name)s %(request_id)s %(about)s%(message)s"
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class Line(logging.Formatter):
    """One line an event, so that nobody can write one of his own by a path; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def formatMessage(self, record: logging.LogRecord) -> str:
        known = about(record)
        record.about = "".join(f"{name}={known[name]} " for name in ("account", "task") if name in known)
        record.message = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class Json(logging.Formatter):
    """A JSON object on one line: what is not known is left out."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "level": record.levelname,
            "logger": record.name,
        }
        told |= about(record)
        told["message"] = without_secrets(record.getMessage())
        if error := self._error(record):
            told["error"] = without_secrets(error)
        told |= {name: without_secrets(v) if isinstance(v, str) else v for name, v in _extra(record).items()}
        return json.dumps(told, ensure_ascii=False, default=str)

    def _error(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        stack = self.formatStack(record.stack_info) if record.stack_info else ""
        return "\n".join(filter(None, (record.exc_text, stack)))


def about(record: logging.LogRecord) -> dict[str, Any]:
    """Of which request, account and task the record is, as far as that is known."""
    RequestIdFilter().filter(record)
    request = record.__dict__["request_id"]  # which a client may have chosen
    known = {"request": "" if request == "-" else without_secrets(request)}
    known |= {name: record.__dict__[name] for name in ("account", "task")}
    return {name: value for name, value in known.items() if value}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What one of our own lines says in members of their own."""
    told: dict[str, Any] = getattr(record, "told", {})
    return told
