"""Processes of a test's own on its run's database, and work that is killed at a point of the test's choice."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connection

NEVER: Final = 0


def database_url() -> str:
    """DATABASE_URL of the database that the tests of this process run in."""
    base, _, query = os.environ["DATABASE_URL"].partition("?")
    name = connection.settings_dict["NAME"]
    return base.rpartition("/")[0] + f"/{name}" + (f"?{query}" if query else "")


@contextmanager
def process(*argv: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python on the same database; killed where it has not ended by then."""
    given = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "tests"}
    running = subprocess.Popen(
        [sys.executable, *argv],
        env=os.environ | given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )
    try:
        with running:
            yield running
    finally:
        running.kill()


def walked(module: str, *arguments: str, seconds: float, **environment: str) -> list[dict[str, Any]]:
    """What a program says of each point at which it kills its work; at the last one the work has ended before it."""
    with process("-m", module, *arguments, **environment) as walk:
        output, errors = walk.communicate(timeout=seconds)
    assert walk.returncode == 0, errors
    points = [json.loads(line) for line in output.splitlines()]
    assert [point["killed"] for point in points] == [True] * (len(points) - 1) + [False]
    return points


def killing_at(number: int) -> Callable[[], None]:
    """A step of some work, which kills its process when it is taken for the `number`-th time."""
    steps = itertools.count(1)

    def step() -> None:
        if next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def at_statements(step: Callable[[], None]) -> AbstractContextManager[None]:
    """Take a step before each statement, and after each in a transaction: the commit may be next."""

    def statement(execute: Callable[..., Any], *args: Any) -> Any:
        step()
        result = execute(*args)
        if connection.in_atomic_block:
            step()
        return result

    return connection.execute_wrapper(statement)


def is_killed(work: Callable[..., object], *args: Any) -> bool:
    """Work in a process of its own: whether it was killed. Work that fails ends this process, too."""
    connection.close()  # nothing of it is shared with a fork
    child = os.fork()
    if not child:
        try:
            work(*args)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        sys.exit(f"{work.__name__} failed")
    return os.WIFSIGNALED(status)
