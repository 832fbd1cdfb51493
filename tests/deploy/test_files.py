"""The files of docs/deploy, as the tools of their makers read them, and beside this code."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from billing_site.environment.known import variables
from tests.journeys.server import CHECKOUT

DEPLOY = CHECKOUT / "docs" / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").glob("metered-*.*") if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
BIN = Path(sys.executable).parent
SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    SYSTEMD is None, reason="systemd-analyze is not installed (Debian's package systemd)"
)
NOT_HERE = re.compile(r"\S+: Command /srv/metered/\.venv/bin/\w+ is not executable: No such file or directory")
MOST_EXPOSED = 25
"""Of 100, as `systemd-analyze security` counts; 16 today."""


def run(*argv: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=variables or None, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def composed() -> dict[str, Any]:
    """compose.yaml with its anchors merged, as Docker reads it."""
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def set_in(path: Path) -> set[str]:
    return set(re.findall(r"^#?([A-Z_]+)=", path.read_text(), re.MULTILINE))


class TestContainers:
    def test_hadolint_finds_nothing(self) -> None:
        done = run(BIN / "hadolint", DEPLOY / "Dockerfile")
        assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr

    def test_compose_keeps_its_schema(self) -> None:
        done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
        assert done.returncode == 0, done.stdout

    def test_each_process_waits_for_the_migrations(self) -> None:
        services = composed()["services"]
        assert {*services} == {"postgres", "valkey", "migrate", "web", "worker", "beat", "drain"}
        for name in ("web", "worker", "beat", "drain"):
            assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
            assert services[name]["restart"] == "unless-stopped" and services[name]["read_only"]
        assert services["migrate"]["restart"] == "no"
        assert {one["condition"] for one in services["migrate"]["depends_on"].values()} == {"service_healthy"}

    def test_valkey_keeps_what_is_charged(self) -> None:
        command = composed()["services"]["valkey"]["command"]
        assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
        assert command[command.index("--appendonly") + 1] == "yes"

    def test_the_image_has_what_is_imported_and_nothing_of_tests(self) -> None:
        copied = re.findall(r"^COPY (\w+) \./", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        packages = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")} - {"tests"}
        assert {*copied} == packages | {"templates"}
        allowed = set(re.findall(r"^!([\w.]+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
        assert allowed == {*copied, "requirements.txt", "manage.py"}


class TestUnits:
    @needs_systemd
    def test_systemd_understands_them(self) -> None:
        done = run(str(SYSTEMD), "verify", "--man=no", *UNITS, SYSTEMD_UNIT_PATH=f"{DEPLOY / 'systemd'}:")
        said = [line for line in done.stderr.splitlines() if "metered" in line and not NOT_HERE.fullmatch(line)]
        assert said == []

    @needs_systemd
    @pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.stem)
    def test_they_may_do_little(self, unit: Path) -> None:
        path = f"{DEPLOY / 'systemd'}:"
        argv = ["security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit)]
        done = run(str(SYSTEMD), *argv, SYSTEMD_UNIT_PATH=path)
        assert done.returncode == 0 and "Overall exposure level" in done.stdout, done.stdout + done.stderr

    def test_each_is_enabled_and_ends_before_it_is_killed(self) -> None:
        for unit in UNITS:
            assert "[Install]\nWantedBy=" in unit.read_text(), unit
        config = (CHECKOUT / "billing_site" / "gunicorn_config.py").read_text()
        (graceful,) = re.findall(r"^graceful_timeout = (\d+)$", config, re.MULTILINE)
        (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", (DEPLOY / "systemd" / "metered-web.service").read_text())
        assert int(graceful) < int(seconds)


class TestCommands:
    def test_every_command_is_one(self) -> None:
        """Of units, compose.yaml and docs/operate.md."""
        text = "".join(path.read_text() for path in (*UNITS, DEPLOY / "Dockerfile", CHECKOUT / "docs" / "operate.md"))
        text += " ".join(" ".join(service.get("command", [])) for service in composed()["services"].values())
        named = set(re.findall(r"manage\.py ([a-z_]+)", text)) | set(
            re.findall(r"^metered ([a-z_]+)", text, re.MULTILINE)
        )
        assert named <= get_commands().keys() and {"migrate", "doctor", "drain_usage", "watch_chain"} <= named

    def test_celery_and_gunicorn_are_called_as_they_are_run_elsewhere(self) -> None:
        services = composed()["services"]
        for name in ("worker", "beat", "drain"):
            unit = (DEPLOY / "systemd" / f"metered-{name}.service").read_text()
            (line,) = re.findall(r"^ExecStart=/srv/metered/\.venv/bin/(.*)$", unit, re.MULTILINE)
            assert shlex.split(line) == services[name]["command"]

    def test_the_variables_are_known(self) -> None:
        assert set_in(DEPLOY / "metered.env") <= variables.keys()
        ours = composed()["services"]["web"]["environment"]
        assert {*ours} <= variables.keys() and ours.keys() >= {"DATABASE_URL", "REDIS_URL"}

    def test_a_shell_reads_the_file_of_variables(self) -> None:
        text = re.sub(r"^#([A-Z_]+=)", r"\1", (DEPLOY / "metered.env").read_text(), flags=re.MULTILINE)
        done = subprocess.run(["sh", "-euc", f"set -a\n{text}\nenv"], capture_output=True, text=True, check=True)
        assert "DEFAULT_FROM_EMAIL=Metered API <billing@metered.example>" in done.stdout.splitlines()
