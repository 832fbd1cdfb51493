"""A web process that ends while neither engine answers names what it leaves, and an operator takes that back."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis
import requests
from django.db import connection

from billing_site.local.engines import Valkey
from billing_site.local.engines.places import valkey_url
from billing_site.local.engines.process import wait_until
from billing_site.local.supervisor import Command
from ratelimit.keys import shard_of, stream
from tests.cast import Customer
from tests.journeys.server import CHECKOUT, Server, environment
from tests.outages import SilentEngine, SilentPostgres
from tests.ports import free_port
from tests.usage.histories import sums
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
UP_SECONDS = END_SECONDS = 90.0


class Site:
    """One web worker, with a Redis of its own, and ways to both engines that can be made to hang."""

    def __init__(self, folder: Path) -> None:
        settings = connection.settings_dict
        self.redis = Valkey(folder / "valkey", folder / "s" / "valkey.sock")
        self.redis.start()
        self.way_to_redis = SilentEngine(folder / "redis.sock", folder / "s" / "valkey.sock")
        self.postgres = SilentPostgres(folder, settings["HOST"] or settings["OPTIONS"]["host"])
        self.env = environment(settings["NAME"]) | {
            "DATABASE_URL": f"postgresql://{settings['USER']}@/{settings['NAME']}?{urlencode({'host': str(folder)})}",
            "REDIS_URL": valkey_url(folder / "redis.sock"),
            "REDIS_TIMEOUT_MS": "1000",
            "DATABASE_HANGS_AFTER_MS": "1000",
        }
        self.server = Server(free_port())
        bind = f"127.0.0.1:{self.server.port}"
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", "--bind", bind]
        log = folder / "web.log"
        self.web = Command("web", [*gunicorn, "--workers", "1"], log=log, env=self.env, cwd=CHECKOUT)

    def call(self, customer: Customer) -> int:
        return self.server.session(customer.key).post(f"{self.server.url}/api/v1/trace/start", timeout=60).status_code

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.server.url}/health", timeout=60).status_code == 200
        except requests.RequestException:
            return False

    def charged_in_redis(self, customer: Customer) -> int:
        with redis.Redis.from_url(self.redis.url) as client:
            return int(client.xlen(stream(shard_of(customer.account))))  # type: ignore[arg-type]

    def manage(self, *arguments: str) -> str:
        argv = [sys.executable, "manage.py", *arguments]
        return subprocess.run(argv, cwd=CHECKOUT, env=self.env, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="pbu-", dir="/tmp"))
    site = Site(folder)
    try:
        yield site
    finally:
        site.postgres.close()
        site.way_to_redis.close()
        site.web.stop()
        site.redis.stop()
        shutil.rmtree(folder)


def test_a_charge_that_stands_is_named_and_can_be_taken_back(bob: Customer, site: Site) -> None:
    site.web.start()
    wait_until(site.is_up, UP_SECONDS, "it does not come up")
    assert site.call(bob) == 200
    assert site.web.process

    site.way_to_redis.hang_at(b"{s", executed=True)  # Redis charges the next call, and nobody hears of it
    site.postgres.hang()
    assert site.call(bob) == 503
    assert site.charged_in_redis(bob) == 2
    site.web.process.send_signal(signal.SIGTERM)
    assert site.web.process.wait(END_SECONDS) == 0
    named = re.search(
        rf"ERROR .* charge (\S+) of account {bob.account}, 10 tokens, stands: .*: manage.py settle_charges \1",
        site.web.log.read_text(),
    )
    assert named, site.web.log.read_text()

    site.postgres.resume()
    site.way_to_redis.resume()
    assert site.manage("settle_charges", named.group(1)) == f"{named.group(1)}: taken back\n"
    assert site.manage("settle_charges", named.group(1)) == f"{named.group(1)}: was taken back before\n"
    assert UsageLog.objects.filter(account=bob.account).count() == 3
    assert sums(bob.account) == {10}
