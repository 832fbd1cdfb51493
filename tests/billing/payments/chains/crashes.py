"""A process that ends at a line of the watcher's code: by kill -9, or, quicker, by an error that nobody catches."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connections

import billing.payments
from ratelimit import process_state

CODE = str(Path(billing.payments.__file__).parent)
"""Money in, and all that reads chains. What they call runs within one of their lines."""


class Killed(BaseException):
    """In the place of kill -9."""


def ending_at(line: int, work: Callable[[], Any], end: Callable[[], None]) -> None:
    """Work, and call `end` before that line of the code is run, counted from 1 as they are executed."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return trace_lines if frame.f_code.co_filename.startswith(CODE) else None

    def trace_lines(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if not left:
                end()
        return trace_lines

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


def crash(line: int, work: Callable[[], Any]) -> bool:
    """Whether the work got so far as to be ended there."""

    def end() -> None:
        raise Killed

    try:
        ending_at(line, work, end)
    except Killed:
        # With a process its session ends, whatever it was in: its transaction is undone, and its locks are free.
        connections["default"].close()
        del connections["default"]
        return True
    return False


def kill(line: int, work: Callable[[], Any]) -> bool:
    """The same in a process of its own that is killed for good."""
    connections.close_all()  # nothing of it is shared with a fork
    child = os.fork()
    if not child:
        try:
            process_state.start_anew()
            ending_at(line, work, lambda: os.kill(os.getpid(), signal.SIGKILL))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "the watcher failed"
    return os.WIFSIGNALED(status)
