"""`make run`'s program with nothing there yet: it comes up by itself, what it prints works, its end leaves nothing."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

import billing_site
from billing_site.local.engines.locks import lock
from billing_site.local.engines.process import wait_until
from tests.effort import LONG, long_only

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
UP_SECONDS = 300
END_SECONDS = 60
RUN = (sys.executable, "-m", "billing_site.local.run")
IN_THE_BACKGROUND_OF_A_SCRIPT = ("sh", "-c", 'trap "" INT; exec "$0" "$@"', *RUN)
"""Such a run inherits SIGINT as ignored, and has to end on it all the same."""


class Site:
    """A data folder of its own, and the run that uses it."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        ours = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MAKELEVEL", "PYTEST_XDIST_WORKER")
        self.env = {name: value for name, value in os.environ.items() if name not in ours}
        self.env |= {
            "PORT": str(self.port),
            "LOCAL_DIR": str(self.local),
            "DJANGO_SETTINGS_MODULE": "billing_site.settings",
        }
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, argv: tuple[str, ...] = RUN) -> None:
        """Run until it says that it is up."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(argv, cwd=CHECKOUT, env=self.env, stdout=output, stderr=output)
        process = self.process

        def is_up() -> bool:
            assert process.poll() is None, self.output.read_text()
            return "Ctrl-C ends it." in self.output.read_text()

        wait_until(is_up, UP_SECONDS, "it does not come up")

    def end(self, number: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        env = self.env
        return subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)

    def nothing_runs(self) -> bool:
        """Every process of a run holds its lock, the engines one of their own."""
        for path in (self.local / name for name in ("run.lock", "postgres/lock", "valkey/lock")):
            if not path.exists():
                continue  # it was never started
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
        return True

    def pid_of(self, pattern: str, parent: int | None = None) -> int:
        """The first child of the run, or of another parent, whose command line has the pattern in it."""
        listing = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        assert self.process
        parent = parent or self.process.pid
        found = [line.split(None, 2) for line in listing.splitlines()]
        return next(int(pid) for pid, above, args in found if int(above) == parent and pattern in args)


@pytest.fixture
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="pbr-", dir="/tmp"))
    folder.chmod(0o755)
    made = Site(folder)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    wait_until(made.nothing_runs, END_SECONDS, "something still runs")
    shutil.rmtree(folder)


def test_a_fresh_checkout_runs_serves_and_ends(site: Site) -> None:
    site.start(IN_THE_BACKGROUND_OF_A_SCRIPT)
    said = site.output.read_text()

    curls = re.findall(r"^  (curl .*)$", said, re.MULTILINE)
    assert len(curls) == 2
    for curl in curls:
        answer = site.run("sh", "-c", curl).stdout
        assert answer.startswith("HTTP/1.1 200"), answer
    assert "X-Usage-Cost: 10" in answer

    second = site.run(*RUN)
    assert second.returncode == 1
    assert re.fullmatch(r"make run: this checkout is already running \(process \d+\).*\n", second.stderr)

    assert site.run(sys.executable, "manage.py", "migrate", "--check").returncode == 0  # beside it: the same engines
    verdict = site.run(sys.executable, "manage.py", "check", "--deploy", "--tag", "engines", "--fail-level", "WARNING")
    assert verdict.returncode == 0, verdict.stderr

    drained = site.pid_of("drain_usage")
    os.kill(drained, signal.SIGKILL)
    wait_until(lambda: "drain ended with SIGKILL" in site.output.read_text(), 10, "the death is not reported")
    log = site.local / "log" / "drain.log"
    wait_until(lambda: log.read_text().count("the drain follows") == 2, 30, "the drain is not started again")

    assert site.end(signal.SIGINT) == 0
    assert site.nothing_runs()
    assert "Traceback" not in site.output.read_text()
    logs = "".join((site.local / "log" / f"{name}.log").read_text() for name in ("web", "drain"))
    assert "HINT" not in logs
    with socket.create_server(("127.0.0.1", site.port)):
        pass  # the port is free again


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells of a parent's death and make's state"
)
@long_only(40, "the first run")
def test_a_second_run_reuses_the_data_and_a_killed_one_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.start()
    login = re.search(r"staff login: .*", site.output.read_text())
    assert login
    assert site.process
    site.process.kill()
    site.process.wait()

    makefile = tmp_path / "Makefile"
    makefile.write_text(f"run:\n\t@exec {' '.join(RUN)}\n")
    site.start(("make", "-f", str(makefile), "run"))  # at once, while what the killed one started is still ending
    assert login.group() in site.output.read_text()
    password = login.group().split(" / ")[1].split()[0]
    assert _may_enter_the_admin(f"http://127.0.0.1:{site.port}", password)

    # An interrupt that only make gets: it dies of it, but not before the run has ended by itself.
    assert site.end(signal.SIGINT) == -signal.SIGINT
    assert site.output.read_text().endswith("ended\n")
    assert site.nothing_runs()


def _may_enter_the_admin(base: str, password: str) -> bool:
    browser = requests.Session()
    browser.get(f"{base}/admin/login/", timeout=10)
    form = {"username": "staff", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    answer = browser.post(f"{base}/admin/login/?next=/admin/", data=form, timeout=10)
    return answer.status_code == 200 and answer.url == f"{base}/admin/"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who holds a lock")
@pytest.mark.skipif(not LONG, reason="waits half a minute for a PostgreSQL that does not stop: make test-long")
def test_a_closed_terminal_ends_it_and_what_does_not_listen(site: Site) -> None:
    site.start()
    os.kill(site.pid_of("postgres: checkpointer", site.pid_of("bin/postgres")), signal.SIGSTOP)
    os.kill(site.pid_of("gunicorn", site.pid_of("gunicorn")), signal.SIGSTOP)
    assert site.process
    site.process.send_signal(signal.SIGINT)  # whoever closes a terminal has often pressed Ctrl-C before
    assert site.end(signal.SIGHUP) == 0
    assert site.nothing_runs()


def test_it_can_be_ended_while_it_waits_for_what_a_killed_run_left_behind(site: Site) -> None:
    site.local.mkdir()
    held = lock(site.local / "run.lock", 0)
    leftover = subprocess.Popen(["sleep", "600"], pass_fds=[held])
    os.close(held)
    try:
        with site.output.open("wb") as output:
            site.process = subprocess.Popen(RUN, cwd=CHECKOUT, env=site.env, stdout=output, stderr=output)
        wait_until(lambda: "waiting for what a killed run" in site.output.read_text(), 30, "it does not wait")
        assert site.end(signal.SIGINT) == 0
        assert "Traceback" not in site.output.read_text()
    finally:
        leftover.kill()
        leftover.wait()


def test_a_taken_port_is_said_before_anything_starts(site: Site) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        done = site.run(*RUN)
    assert done.returncode == 1
    assert done.stderr.startswith(f"make run: port {site.port} on 127.0.0.1 is taken")
    assert done.stdout == ""
    assert not (site.local / "postgres").exists()


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on the test run's server."""
    name = f"given_{os.getpid()}"
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@long_only(30, "a database that does not answer")
def test_a_given_database_gets_tables_and_nobody_who_may_log_in(site: Site, database: str) -> None:
    site.env |= {"DATABASE_URL": database, "SECRET_KEY": "x"}
    site.start()
    said = site.output.read_text()
    with psycopg.connect(database) as connection:
        for table in ("auth_user", "billing_apikey"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert "nobody was added to it" in said and "staff login:" not in said
    assert not (site.local / "password").exists()
    assert site.end(signal.SIGTERM) == 0


def test_a_given_database_is_used_and_not_started(site: Site) -> None:
    site.env |= {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "SECRET_KEY": "x"}
    done = site.run(*RUN)
    assert done.returncode == 1
    assert "make run: no PostgreSQL answers on 127.0.0.1" in done.stderr
    assert not (site.local / "postgres").exists()
