"""What the loop itself answers, before any thread has seen the request."""

from __future__ import annotations

from typing import Final

from billing_site.serving.framing import LARGEST_HEAD
from billing_site.variables.web import WEB_LARGEST_BODY_BYTES, WEB_SLOW_CLIENT_SECONDS

SLOW_CLIENT_SECONDS: Final = WEB_SLOW_CLIENT_SECONDS
LARGEST_BODY: Final = WEB_LARGEST_BODY_BYTES
_SENTENCES: Final = {
    400: ("Bad Request", "The request ended before all of it had come."),
    408: ("Request Timeout", f"The request did not arrive within {SLOW_CLIENT_SECONDS} seconds."),
    413: ("Content Too Large", f"The body is larger than {LARGEST_BODY} bytes."),
    431: ("Request Header Fields Too Large", f"The head of the request is larger than {LARGEST_HEAD} bytes."),
}


def refusal(status: int) -> bytes:
    """A whole answer with this status: 400, 408, 413 or 431."""
    reason, sentence = _SENTENCES[status]
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(sentence) + 1}\r\n\r\n{sentence}\n".encode()
