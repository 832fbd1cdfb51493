"""`manage.py doctor`: one line for each part of the site, whatever is down, and never a wait without an end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from billing.models import Plan, Route
from billing.outbox.models import OutboxMessage
from billing_site.local.engines import Valkey
from billing_site.operations import last_beat
from billing_site.operations.doctor import Finding, State, engines, examine, processes, site
from billing_site.operations.doctor.examination import ENGINES, REST
from tests.cast import Customer, Staff, call
from tests.journeys.server import environment
from tests.outages import SilentPostgres, no_redis, silent_postgres
from tests.ratelimit.conftest import private_server
from usage.drain import drain
from usage.models import SetAsideEntry

__all__ = ["private_server", "silent_postgres"]
CHECKOUT = Path(__file__).resolve().parents[3]
SUBJECTS = [one.subject for one in (*ENGINES, *REST)]
NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture(autouse=True)
def nobody_was_seen() -> Iterator[None]:
    cache.delete(last_beat.KEY)
    yield
    cache.delete(last_beat.KEY)


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "manage.py", "doctor", *arguments]
    env = environment(str(connection.settings_dict["NAME"])) | variables
    return subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False, timeout=120)


def states(found: list[Finding]) -> dict[str, str]:
    """The worst of each subject."""
    order = ["ok", "warn", "fail"]
    return {
        subject: max((one.state.value for one in found if one.subject == subject), key=order.index)
        for subject in dict.fromkeys(one.subject for one in found)
    }


def only(found: Any) -> tuple[str, str]:
    (finding,) = list(found)
    assert (finding.state == "ok") == (not finding.do)
    return finding.state.value, finding.says


@pytest.mark.django_db(transaction=True)
class TestCommand:
    def test_one_line_a_part(self, catalogue: None, superuser: Staff) -> None:
        last_beat.note(timezone.now())
        done = doctor(SITE_URL="https://a.example", ALLOWED_HOSTS="b.example")
        said = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
        assert list(dict.fromkeys(line.split()[1] for line in done.stdout.splitlines())) == SUBJECTS
        well = ("cache", "broker", "settings", "time", "migrations", "catalogue", "staff", "beat")
        assert {said[subject] for subject in (*well, "drain", "outbox", "payments")} == {"ok"}, done.stdout
        assert said["site"] == "fail" and done.returncode == 1
        # The tests' own engines keep nothing over a crash, which is a fault, and hides no other line.
        assert said["postgres"] == "fail" and said["redis"] == "warn"

    def test_both_engines_down(self) -> None:
        done = doctor("--json", **NOWHERE)
        found = [Finding(**one | {"state": State(one["state"])}) for one in json.loads(done.stdout)["findings"]]
        assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
        assert [state for state in states(found).items() if state[1] == "fail"] == [
            ("postgres", "fail"),
            ("redis", "fail"),
            ("broker", "fail"),
        ]
        assert list(states(found)) == SUBJECTS

    def test_wrong_settings_are_lines(self) -> None:
        """They end every other command."""
        done = doctor(STRIPE_WEBHOOK_SECRET="whsec_x", ALLOWED_HOST="a.example")
        settings = [line for line in done.stdout.splitlines() if line.split()[1] == "settings"]
        assert [line.split()[0] for line in settings] == ["fail", "warn"] and "billing_site.E030" in settings[0]

    def test_no_secret_is_said(self) -> None:
        done = doctor(DATABASE_URL="postgresql://u:hush@127.0.0.1:1/x", REDIS_URL="redis://:hush@127.0.0.1:1/0")
        assert "hush" not in done.stdout + done.stderr


class TestHanging:
    def test_postgres(self, silent_postgres: SilentPostgres) -> None:
        silent_postgres.hang()
        found = examine(seconds=2)
        assert states(found)["postgres"] == "fail" and list(states(found)) == SUBJECTS
        assert states(found)["staff"] == "warn"

    @pytest.mark.django_db(transaction=True)
    def test_redis(self, private_server: Callable[..., Valkey], settings: Any) -> None:
        server = private_server()
        with no_redis(settings, server.url):
            assert server.process
            server.process.send_signal(signal.SIGSTOP)
            found = examine(seconds=2)
        assert states(found)["redis"] == "fail" and states(found)["drain"] == "warn"
        assert states(found)["migrations"] == "ok" and list(states(found)) == SUBJECTS

    def test_a_site_that_does_not_answer(self, settings: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.SITE_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
            assert only(site.site())[0] == "warn"

    def test_a_defect_is_a_line(self, settings: Any) -> None:
        settings.OUTBOX_CONSUMERS = None
        settings.ALLOWED_HOSTS = None
        assert "fail" in {one.state.value for one in examine(seconds=5) if one.subject == "site"}


@pytest.mark.django_db
class TestParts:
    def test_migrations(self) -> None:
        assert only(engines.migrations())[0] == "ok"
        MigrationRecorder(connection).record_unapplied("usage", "0001_initial")
        assert only(engines.migrations()) == ("fail", "1 are missing, the first is usage.0001_initial")

    def test_time(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        settings.LARGEST_CLOCK_SKEW_SECONDS = 5
        assert only(engines.time())[0] == "ok"
        for ahead, state in ((2, "warn"), (-2, "warn"), (30, "fail")):
            real = time.time
            with monkeypatch.context() as patched:
                patched.setattr(time, "time", lambda: real() + ahead)  # noqa: B023
                found, said = only(engines.time())
            assert found == state and ("ahead of" in said) == (ahead > 0), said

    def test_catalogue(self) -> None:
        assert only(site.catalogue())[0] == "fail"
        call_command("seed_catalogue", verbosity=0)
        state, said = only(site.catalogue())
        assert state == "ok" and said.startswith(f"{Plan.objects.on_sale().count()} plans on sale, ")
        Route.objects.all().delete()
        assert only(site.catalogue())[0] == "warn"

    def test_staff(self, clerk: Staff) -> None:
        assert only(site.staff())[0] == "warn"
        clerk.user.is_superuser = True
        clerk.user.save()
        assert only(site.staff()) == ("ok", "1 may log in, 1 of them are superusers")
        clerk.user.is_active = False
        clerk.user.save()
        assert only(site.staff())[0] == "warn"

    def test_beat(self) -> None:
        assert only(processes.beat())[0] == "warn"
        last_beat.note(timezone.now() - timedelta(minutes=3))
        assert only(processes.beat()) == ("warn", "beat and a worker were last seen 3 min ago")
        last_beat.note(timezone.now())
        assert only(processes.beat())[0] == "ok"

    def test_drain(self, erin: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        assert only(processes.drained()) == ("ok", "no event waits")
        assert call(erin, "trace_start").admitted
        assert only(processes.drained())[1].startswith("1 events wait")
        now = time.time_ns()
        monkeypatch.setattr("billing_site.operations.doctor.processes.time.time_ns", lambda: now + 90 * 10**9)
        assert only(processes.drained())[0] == "warn"
        drain.drain()
        SetAsideEntry.objects.create(shard=0, stream_id="1-0", payload=b"x", error="no event")
        assert [one.state.value for one in processes.drained()] == ["ok", "warn"]

    def test_outbox(self) -> None:
        assert only(processes.outbox()) == ("ok", "no message waits")
        OutboxMessage.objects.create(
            account_id=1, kind="x", payload={}, recorded_at=timezone.now() - timedelta(hours=1)
        )
        assert only(processes.outbox()) == ("warn", "the oldest message waits for 60 min")

    @pytest.mark.parametrize(
        ("variables", "state"),
        [
            ({"SITE_URL": "https://a.example", "HTTPS": True, "BEHIND_PROXY": True}, "ok"),
            ({"SITE_URL": "https://a.example", "HTTPS": True, "BEHIND_PROXY": False}, "warn"),
            ({"SITE_URL": "https://a.example", "HTTPS": False}, "warn"),
            ({"SITE_URL": "http://a.example"}, "warn"),
            ({"SITE_URL": "https://a.example", "HTTPS": True, "BEHIND_PROXY": True, "DEBUG": True}, "fail"),
        ],
    )
    def test_https(self, settings: Any, variables: dict[str, Any], state: str) -> None:
        for name, value in variables.items():
            setattr(settings, name, value)
        assert only(site.https())[0] == state

    def test_payments(self, settings: Any) -> None:
        assert only(site.payments()) == ("ok", "by bank transfer")
        settings.STRIPE_SECRET_KEY = "sk_test_x"
        assert only(site.payments())[0] == "warn"
        settings.STRIPE_SECRET_KEY = "sk_live_x"
        assert only(site.payments()) == ("ok", "by cards and bank transfer")


class TestMail:
    def test_the_mailbox_reaches_nobody(self) -> None:
        assert only(site.mail())[0] == "warn"

    @pytest.mark.parametrize(("greeting", "state"), [(b"220 a.example\r\n", "ok"), (b"554 not you\r\n", "fail")])
    def test_a_provider_is_asked(self, settings: Any, greeting: bytes, state: str) -> None:
        """A provider of mails that says yes to everything but its greeting."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            provider = threading.Thread(target=_answer, args=(listener, greeting), daemon=True)
            provider.start()
            settings.EMAIL_BACKEND, settings.EMAIL_HOST = site.SMTP, "127.0.0.1"
            settings.EMAIL_PORT = listener.getsockname()[1]
            settings.DEFAULT_FROM_EMAIL, settings.SITE_URL = "us@a.example", "https://a.example"
            assert only(site.mail())[0] == state
            provider.join()

    def test_nobody_listens(self, settings: Any) -> None:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = site.SMTP, "127.0.0.1", 1
        settings.DEFAULT_FROM_EMAIL, settings.SITE_URL = "us@a.example", "https://a.example"
        assert only(site.mail()) == ("fail", "127.0.0.1:1 refuses us: ConnectionRefusedError")


def _answer(listener: socket.socket, greeting: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.sendall(greeting)
        while client.recv(4096):
            client.sendall(b"250 a.example\r\n")
