"""Gunicorn's own lines, in the form of all others; the access log says who called, and nothing of the query."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from billing_site.operations.logs.configuration import formatter
from billing_site.request.request_id import ACCOUNT
from billing_site.variables.log import LOG_FORMAT


class Logger(GunicornLogger):
    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:
        super()._set_handler(log, output, formatter(LOG_FORMAT), stream)

    def access(self, resp: Any, req: Any, asked: dict[str, Any], request_time: Any) -> None:
        """One line a request: as it was asked for, percent-encoded, so that a path cannot hold a line of its own."""
        if not self.access_log_enabled:
            return
        told = {
            "method": asked.get("REQUEST_METHOD", "-"),
            "path": str(asked.get("RAW_URI", "-")).partition("?")[0],
            "status": int(str(resp.status).split(None, 1)[0]),
            "bytes": getattr(resp, "sent", None) or 0,
            "seconds": round(request_time.total_seconds(), 4),
            "address": asked.get("REMOTE_ADDR", "-"),
        }
        said = "%(method)s %(path)s %(status)s %(bytes)s bytes %(seconds)s s %(address)s"
        ids = [value for name, value in resp.headers if name.lower() == "x-request-id"]
        known = {"request_id": ids[0] if ids else "-", "account": asked.get(ACCOUNT), "told": told}
        self.access_log.log(logging.INFO, said, told, extra=known)
