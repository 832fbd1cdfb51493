"""What a command does with --follow: the same step again and again, until it is asked to end."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from django.db import connection

IDLE_SECONDS = 0.5
RETRY_SECONDS = 1.0


def follow(step: Callable[[], float], what: str, logger: logging.Logger, outages: tuple[type[Exception], ...]) -> None:
    """Call `step`, which gives the seconds until the next one, until SIGTERM or Ctrl-C; it goes on after an outage.

    `what` says in the log whose work waits for an engine: "the outbox". `outages` are errors that a step is tried again
    after; any other one ends it.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    well, pause = True, 0.0
    while not stop.wait(pause):
        try:
            pause = step()
        except outages as error:
            # One line for each change of state: an outage is not told every second.
            if well:
                logger.error("%s waits for an engine: %s", what, str(error).strip())
            well, pause = False, RETRY_SECONDS
            connection.close()
            continue
        if not well:
            logger.warning("%s goes on", what)
        well = True
