"""Bytes on their way, first in, first out: in memory, and what is more than a little in a file without a name."""

from __future__ import annotations

import tempfile
from typing import IO, Final

IN_MEMORY: Final = 65_536
"""Bytes of one direction of one connection."""


class Spool:
    """A queue of bytes. A caller that shares one between threads holds a lock."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._taken = 0
        self._put = 0

    def __len__(self) -> int:
        return len(self._memory) if self._file is None else self._put - self._taken

    def put(self, data: bytes | memoryview) -> None:
        if self._file is None and len(self._memory) + len(data) <= IN_MEMORY:
            self._memory += data
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it has been read
            self._put = self._file.write(self._memory)
            self._memory.clear()
        self._file.seek(self._put)
        self._put += self._file.write(data)

    def peek(self, most: int) -> bytes:
        """The next bytes, at most so many, which stay in the queue."""
        if self._file is None:
            return bytes(memoryview(self._memory)[:most])
        self._file.seek(self._taken)
        return self._file.read(min(most, len(self)))

    def drop(self, count: int) -> None:
        """Take so many bytes out; an emptied queue gives its file back."""
        if self._file is None:
            del self._memory[:count]
            return
        self._taken += count
        if self._taken == self._put:
            self.close()

    def take(self, most: int) -> bytes:
        data = self.peek(most)
        self.drop(len(data))
        return data

    def close(self) -> None:
        """Forget everything."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._taken = self._put = 0
