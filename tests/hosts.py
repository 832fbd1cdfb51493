"""Host products that tests run as processes: an empty database and an empty Redis of their own, and their settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings

from billing_site.local.engines import Valkey
from billing_site.local.engines.places import sockets_root
from tests.journeys.server import CHECKOUT, Server, environment, running


class Host:
    """One with its settings; its engines are running."""

    def __init__(self, database: str, **variables: str) -> None:
        self.database = database
        self.variables = variables

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.database) | self.variables

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What a command of manage.py does."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    @contextmanager
    def serving(self) -> Iterator[Server]:
        with running(self.database, **self.variables) as server:
            yield server


@contextmanager
def host(name: str, settings_module: str, **variables: str) -> Iterator[Host]:
    """On the run's PostgreSQL, in a database of this process that is dropped afterwards."""
    database = f"host_{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    url = urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path="/postgres"))
    with psycopg.connect(url, autocommit=True) as connection, tempfile.TemporaryDirectory(dir=sockets_root()) as home:
        connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {database}")
        redis = Valkey(Path(home) / "valkey", Path(home) / "s", durable=False)
        redis.start()
        try:
            given = {"DJANGO_SETTINGS_MODULE": settings_module, "REDIS_URL": redis.url, "LOCAL_DIR": home}
            yield Host(database, **given | variables)
        finally:
            redis.stop()
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
