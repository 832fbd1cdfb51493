"""Schemathesis asks for all that the OpenAPI document allows, and for what it does not, in all of its phases.

By a key and by a browser's session: no server error, no answer but a documented one.
"""

from __future__ import annotations

import json
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
from tests.journeys.server import CHECKOUT, Server

pytestmark = pytest.mark.django_db(transaction=True)
SETTINGS = Path(__file__).with_name("schemathesis.toml")
PARTS = (("coverage",), ("examples,fuzzing,stateful", "--max-examples", "50" if LONG else "2"))
SECONDS = 600 if LONG else 7
"""Of each part, by a key and by a session: half a minute in `make test`, which leaves some of the first part out."""


def run(server: Server, folder: Path, *arguments: str, **variables: str) -> None:
    """The command, with the settings beside this file. It fails the test by what it found.

    One worker: threads that parse at the same time are an error of Python 3.11's own.
    """
    for part in PARTS:
        command = [
            *(sys.executable, "-m", "schemathesis.cli.__main__", "--config-file", str(SETTINGS)),
            *("run", f"{server.url}/api/schema", "--phases", *part, "--max-time", str(SECONDS)),
            *("--continue-on-failure", "--report-dir", str(folder), *arguments),
        ]
        environment = os.environ | {"NO_COLOR": "1", "PYTHONPATH": str(CHECKOUT)} | variables
        told = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout[-12_000:] + told.stderr[-2000:]


def test_by_a_key(server: Server, customer: Callable[..., Customer], tmp_path: Path) -> None:
    """One that may reserve; keys are a session's matter."""
    run(server, tmp_path, "--header", f"Authorization: Bearer {customer('fred', 'enterprise', 'meter').key}")


def test_by_a_session(server: Server, customer: Callable[..., Customer], tmp_path: Path) -> None:
    client = Client()
    client.force_login(customer("fred", "enterprise").user)
    request = RequestFactory().get("/")
    headers = {"X-CSRFToken": get_token(request)}
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    cookies = {settings.SESSION_COOKIE_NAME: session, settings.CSRF_COOKIE_NAME: request.META["CSRF_COOKIE"]}
    variables = {
        "SCHEMATHESIS_HOOKS": "tests.journeys.schemathesis_session",
        "SESSION": json.dumps({"cookies": cookies, "headers": headers}),
    }
    # Whether credentials are asked for is seen by a key: here each request has them.
    run(server, tmp_path, "--exclude-checks", "ignored_auth", **variables)
