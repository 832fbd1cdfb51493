"""Where one checkout's engines keep sockets and data, and their URLs; computed without starting anything."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

DATABASE_NAME = "billing"  # also the name of the database's superuser
CACHE_DATABASE = 1
BROKER_DATABASE = 2


def sockets_root() -> Path:
    """The folder for socket folders: /tmp, whatever TMPDIR says.

    A socket's path ends at 108 bytes, and every shell has to come to the same one.
    """
    root = Path("/tmp")
    return root if os.access(root, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


@dataclass(frozen=True)
class Places:
    """The folders of one checkout's engines.

    Two checkouts, and two users of one checkout, get different sockets; every process of one user in one checkout
    computes the same ones, so `manage.py` finds what `make run` started.
    """

    checkout: Path

    @property
    def local(self) -> Path:
        """The data of this checkout; LOCAL_DIR names another folder."""
        return Path(os.environ.get("LOCAL_DIR") or self.checkout / ".local").absolute()

    @property
    def sockets(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.local.resolve())).hexdigest()[:8]
        return sockets_root() / f"pb-{os.geteuid()}-{digest}"

    @property
    def postgres_sockets(self) -> Path:
        return self.sockets / "pg"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def database_url(self) -> str:
        return postgres_url(self.postgres_sockets)

    @property
    def redis_url(self) -> str:
        return valkey_url(self.valkey_socket)


def postgres_url(sockets: Path, database: str = DATABASE_NAME) -> str:
    """A URL that libpq and django-environ both read."""
    return f"postgresql://{DATABASE_NAME}@/{database}?{urlencode({'host': str(sockets)})}"


def valkey_url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}?db=0"


def with_database(redis_url: str, number: int) -> str:
    """The same Redis server's database `number`, as redis-py reads it."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return urlunsplit(parts._replace(path=f"/{number}"))
    query = {key: values[0] for key, values in parse_qs(parts.query).items()} | {"db": str(number)}
    return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"


def as_broker(redis_url: str, number: int) -> str:
    """The same Redis server's database `number`, as Celery's transport reads it: sockets have another scheme there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return with_database(redis_url, number)
    return f"redis+socket://{parts.netloc}{parts.path}?{urlencode({'virtual_host': number})}"
