"""Schemathesis asks for all that the OpenAPI document allows, and for what it does not, in all of its phases.

By a key and by a browser's session: no server error, no answer but a documented one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory

from tests.cast import Customer
from tests.effort import LONG
from tests.journeys.server import Server

pytestmark = pytest.mark.django_db(transaction=True)
SETTINGS = Path(__file__).with_name("schemathesis.toml")
PARTS = (("coverage",), ("examples,fuzzing,stateful", "--max-examples", "50" if LONG else "2"))
SECONDS = 600 if LONG else 15
"""Of each part, by a key and by a session: a minute in `make test`, which then leaves some of the first part out."""


def run(server: Server, folder: Path, *headers: str) -> None:
    """The command, with the settings beside this file. It fails the test by what it found.

    One worker: threads that parse at the same time are an error of Python 3.11's own.
    """
    given = [argument for header in headers for argument in ("--header", header)]
    for part in PARTS:
        command = [
            *(sys.executable, "-m", "schemathesis.cli.__main__", "--config-file", str(SETTINGS)),
            *("run", f"{server.url}/api/schema", "--phases", *part, "--max-time", str(SECONDS)),
            *("--continue-on-failure", "--report-dir", str(folder), *given),
        ]
        told = subprocess.run(
            command, cwd=folder, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stdout[-12_000:] + told.stderr[-2000:]


def test_by_a_key(server: Server, customer: Callable[..., Customer], tmp_path: Path) -> None:
    """One that may reserve; keys are a session's matter."""
    run(server, tmp_path, f"Authorization: Bearer {customer('fred', 'enterprise', 'meter').key}")


def test_by_a_session(server: Server, customer: Callable[..., Customer], tmp_path: Path) -> None:
    client = Client()
    client.force_login(customer("fred", "enterprise").user)
    request = RequestFactory().get("/")
    token = get_token(request)
    cookies = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    run(
        server,
        tmp_path,
        f"Cookie: {cookies}; {settings.CSRF_COOKIE_NAME}={request.META['CSRF_COOKIE']}",
        f"X-CSRFToken: {token}",
    )
