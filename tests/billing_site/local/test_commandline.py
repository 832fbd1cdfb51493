"""manage.py as a real process: what is missing is said in one line that says what to do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import billing_site
from billing_site.local import commandline
from billing_site.local.reachability import unreachable
from tests.outages import lose_postgres, redis_gone

__all__ = ["lose_postgres", "redis_gone"]

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
NOWHERE = "postgresql://somebody:secret@127.0.0.1:1/nowhere"


def manage(*arguments: str, python: tuple[str, ...] = (), **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *python, "manage.py", *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x"} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_good_command_ends_with_zero() -> None:
    done = manage("check")
    assert done.returncode == 0
    assert "no issues" in done.stdout


def test_without_postgresql_a_command_says_how_to_start_one() -> None:
    done = manage("migrate", DATABASE_URL=NOWHERE)
    assert done.returncode == 1
    assert done.stderr == (
        "manage.py: no PostgreSQL answers on 127.0.0.1:1: "
        "check DATABASE_URL, or unset it and start the embedded one with `make run`\n"
    )


@pytest.mark.parametrize("command", ["dispatch_outbox", "send_webhooks", "apply_downgrades"])
def test_a_command_that_has_begun_says_it_as_well(
    command: str, lose_postgres: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lose_postgres()
    assert commandline.execute(["manage.py", command]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("manage.py: no PostgreSQL answers")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "command", ["expire_reservations", "drain_usage", "reconcile_usage", "init_redis_keys", "make_partitions"]
)
def test_without_redis_as_well(command: str, redis_gone: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert commandline.execute(["manage.py", command]) == (command != "make_partitions"), "which needs PostgreSQL alone"
    said = capsys.readouterr().err.splitlines()
    assert command == "make_partitions" or said[-1].startswith("manage.py: no Redis answers")


def test_the_stack_trace_is_there_on_demand() -> None:
    done = manage("migrate", "--traceback", DATABASE_URL=NOWHERE)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_without_a_secret_key_the_setting_is_named() -> None:
    done = manage("migrate", DATABASE_URL=NOWHERE, SECRET_KEY="")
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: set SECRET_KEY to a long random string")
    assert done.stderr.count("\n") == 1


def test_a_cluster_without_its_other_servers_is_refused() -> None:
    done = manage("migrate", REDIS_CLUSTER="1")
    assert done.returncode == 1
    assert done.stderr == (
        "manage.py: REDIS_CLUSTER=1 needs CACHE_URL and BROKER_URL: Redis servers that are no cluster\n"
    )


def test_without_the_libraries_the_right_python_is_named() -> None:
    done = manage("check", python=("-S",), PYTHONPATH="")
    assert done.returncode == 1
    assert done.stderr == ("manage.py: the libraries are missing; use .venv/bin/python manage.py (made by make run)\n")


@pytest.mark.django_db
def test_engines_that_answer_are_no_problem() -> None:
    assert unreachable() is None


@pytest.mark.django_db
def test_a_missing_redis_is_named_without_its_password(settings: Any) -> None:
    settings.EMBEDDED_REDIS = False
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    assert unreachable() == (
        "no Redis answers on 127.0.0.1:1: check REDIS_URL, or unset it and start the embedded one with `make run`"
    )
    settings.REDIS_URL = "unix:///no/such.sock?db=0"
    assert "no Redis answers on /no/such.sock:" in str(unreachable())
    settings.EMBEDDED_REDIS = True
    assert unreachable() == "no Redis answers: start the embedded one with `make run`, or set REDIS_URL"
