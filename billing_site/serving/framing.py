"""Where a request ends in the bytes of a connection.

This decides only when a thread gets the request. What it means is read by gunicorn's parser, from the same bytes and no
others: whatever that reads differently it finds too short, and the connection ends. So a request that makes no sense
counts as whole at once, and the parser refuses it.
"""

from __future__ import annotations

import re
from typing import Final

LARGEST_HEAD: Final = 65_536
LONGEST_LINE: Final = 8_192
"""Bytes of a chunk's size with its extensions, or of a trailer."""
_HEAD_ENDS: Final = re.compile(rb"\r?\n\r?\n")
_FIELDS: Final = re.compile(rb"^(content-length|transfer-encoding|expect)[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.I | re.M)


class Frame:
    """One request, as far as it has come. `whole` says that a thread may have it, `refused` that nobody will."""

    def __init__(self, largest_body: int) -> None:
        self.whole = False
        self.refused = 0
        """A status, 413 or 431, once it is known to be too large."""
        self.expects_continue = False
        self._largest_body = largest_body
        self._head = bytearray()
        self._in_head = True
        self._body = 0
        self._left = 0
        self._chunks: _Chunks | None = None

    def feed(self, data: bytes) -> None:
        """Look at the next bytes, which may hold more than this request."""
        if not self._in_head:
            self._feed_body(data)
            return
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = _HEAD_ENDS.search(self._head, searched)
        if (end.end() if end else len(self._head)) > LARGEST_HEAD:
            self.refused = 431
        elif end:
            self._in_head = False
            self._read_fields(bytes(self._head[: end.start()]))
            if not self.whole and not self.refused:
                self._feed_body(bytes(self._head[end.end() :]))
            self._head.clear()

    def _read_fields(self, head: bytes) -> None:
        found = [(name.lower(), value.lower()) for name, value in _FIELDS.findall(head)]
        fields = dict(found)
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        expected = fields.get(b"expect")
        self.expects_continue = expected is not None
        twice = len(fields) < len(found) or (length is not None and coding is not None)
        unknown = coding not in (None, b"chunked") or expected not in (None, b"100-continue")
        if twice or unknown or not (length or b"0").isdigit():
            self.whole = True
        elif coding is not None:
            self._chunks = _Chunks()
        else:
            self._left = int((length or b"0")[:20])
            self.whole = self._left == 0
            self.refused = 413 if self._left > self._largest_body else 0

    def _feed_body(self, data: bytes) -> None:
        if data:
            self.expects_continue = False  # it comes without having been asked for
        if self._chunks is not None:
            self._body += len(data)
            self.whole = self._chunks.end_with(data)
            if not self.whole and self._body > self._largest_body:
                self.refused = 413
        else:
            self._left -= len(data)
            self.whole = self._left <= 0


class _Chunks:
    """A body sent in chunks, as far as it has come."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._skip = 0
        self._in_trailers = False

    def end_with(self, data: bytes) -> bool:
        """Whether the body ends in these bytes, or makes no sense."""
        at = 0
        while at < len(data):
            if self._skip:
                skipped = min(self._skip, len(data) - at)
                self._skip -= skipped
                at += skipped
                continue
            newline = data.find(b"\n", at)
            self._line += data[at : newline + 1] if newline >= 0 else data[at:]
            if len(self._line) > LONGEST_LINE:
                return True
            if newline < 0:
                return False
            at = newline + 1
            if self._is_last(bytes(self._line).strip()):
                return True
            self._line.clear()
        return False

    def _is_last(self, line: bytes) -> bool:
        if self._in_trailers:
            return not line
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            return True
        self._skip = int(size, 16) + 2 if int(size, 16) else 0
        self._in_trailers = not self._skip
        return False
