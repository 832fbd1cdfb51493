"""Reads environment variables: a value that makes no sense is refused at the start, with the variable's name.

A variable that is set to nothing is unset. Everything here raises ImproperlyConfigured.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
import redis
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import TRANSPORT_ALIASES

from billing_site.environment import known
from billing_site.environment.patterns import SECRET, Pattern

YES = ("1", "true", "yes", "y", "on")
NO = ("0", "false", "no", "n", "off")
MOST = 10**12


class Group:
    """Variables that belong together. Each is read with its meaning, in words for those who set it.

    `unset` says what holds without the variable, where that is no plain default.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def elsewhere(self, name: str, default: str, takes: str, meaning: str, *, unset: str = "") -> None:
        """A variable that another program reads, or this one later."""
        known.note(known.Variable(name, self.title, default, unset, takes, meaning))

    def _read(self, name: str, default: str, takes: str, meaning: str, unset: str = "") -> str:
        self.elsewhere(name, default, takes, meaning, unset=unset)
        return os.environ.get(name, "")

    def text(self, name: str, like: Pattern, meaning: str, *, default: str = "", unset: str = "") -> str:
        value = self._read(name, default, like.meaning, meaning, unset)
        if value and not like.pattern.fullmatch(value):
            raise _refused(name, like.meaning)
        return value or default

    def flag(self, name: str, default: bool, meaning: str) -> bool:
        value = self._read(name, str(int(default)), "1 or 0", meaning).lower()
        if value and value not in YES + NO:
            raise _refused(name, f"one of {', '.join(YES + NO)}")
        return value in YES if value else default

    def number(
        self, name: str, default: int, meaning: str, *, least: int = 1, most: int = MOST, unset: str = ""
    ) -> int:
        takes = f"a whole number from {least} to {most}"
        value = self._read(name, str(default), takes, meaning, unset)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,15}", value) or not least <= int(value) <= most:
            raise _refused(name, takes)
        return int(value)

    def numbers(self, name: str, like: Pattern, meaning: str) -> dict[str, int]:
        """Names with a whole number from 1 each, separated by commas."""
        value = self._read(name, "", like.meaning, meaning)
        pairs = [part.strip().partition("=") for part in value.split(",")] if value else []
        for key, _, given in pairs:
            if (
                not like.pattern.fullmatch(key)
                or not re.fullmatch(r"[0-9]{1,15}", given)
                or not 1 <= int(given) <= MOST
            ):
                raise _refused(name, like.meaning)
        return {key: int(given) for key, _, given in pairs}

    def by_chain(self, name: str, like: Pattern, meaning: str) -> dict[str, str]:
        """Values by chain id, separated by commas, such as 1=…,8453=…"""
        takes = f"chain ids with {like.meaning}, separated by commas, such as 1=…,8453=…"
        value = self._read(name, "", takes, meaning)
        pairs = [part.strip().partition("=") for part in value.split(",")] if value else []
        if not all(re.fullmatch(r"[1-9][0-9]{0,17}", key) and like.pattern.fullmatch(given) for key, _, given in pairs):
            raise _refused(name, takes)
        if len({key for key, _, _ in pairs}) < len(pairs):
            raise _refused(name, f"{takes}, each chain once")
        return {key: given for key, _, given in pairs}

    def word(self, name: str, default: str, among: Collection[str], meaning: str) -> str:
        takes = f"one of {', '.join(among)}"
        value = self._read(name, default, takes, meaning) or default
        if value not in among:
            raise _refused(name, takes)
        return value

    def words(self, name: str, default: list[str], like: Pattern, meaning: str) -> list[str]:
        """Several values, separated by commas."""
        value = self._read(name, ",".join(default), like.meaning, meaning)
        values = [part.strip() for part in value.split(",")] if value else default
        if not all(like.pattern.fullmatch(value) for value in values):
            raise _refused(name, like.meaning)
        return values

    def networks(self, name: str, meaning: str, *, unset: str) -> list[IPv4Network | IPv6Network]:
        takes = "networks such as 10.0.0.0/8 or addresses, separated by commas"
        value = self._read(name, "", takes, meaning, unset)
        try:
            return [ip_network(part.strip()) for part in value.split(",")] if value else []
        except ValueError:
            raise _refused(name, takes) from None

    def folder(self, name: str, meaning: str, *, unset: str) -> Path | None:
        """A folder, which may still have to be made; None when unset."""
        value = self._read(name, "", "the path of a folder", meaning, unset)
        if value and Path(value).exists() and not Path(value).is_dir():
            raise _refused(name, "the path of a folder")
        return Path(value).absolute() if value else None

    def postgres_url(self, name: str, meaning: str, *, unset: str) -> str:
        takes = "a URL such as postgresql://user:password@host:5432/database"
        value = self._read(name, "", takes, meaning, unset)
        parts = _parts(name, value, takes)
        if value and (parts.scheme not in ("postgres", "postgresql", "psql", "pgsql") or len(parts.path) < 2):
            raise _refused(name, takes)
        return value

    def redis_url(self, name: str, meaning: str, *, unset: str) -> str:
        takes = "a URL such as redis://host:6379/0, rediss://… or unix:///path/of.sock?db=0"
        value = self._read(name, "", takes, meaning, unset)
        parts = _parts(name, value, takes)
        if not value:
            return ""
        if parts.scheme == "unix":
            fits = len(parts.path) > 1
        else:
            fits = parts.scheme in ("redis", "rediss") and re.fullmatch(r"(/\d*)?", parts.path) is not None
        try:
            redis.ConnectionPool.from_url(value)  # reads the query's options; connects to nothing
        except ValueError:
            fits = False
        if not fits:
            raise _refused(name, takes)
        return value

    def broker_url(self, name: str, meaning: str, *, unset: str) -> str:
        takes = "a URL of a broker that Celery knows, such as redis://host:6379/2 or amqp://host"
        value = self._read(name, "", takes, meaning, unset)
        if value and _parts(name, value, takes).scheme.partition("+")[0] not in TRANSPORT_ALIASES:
            raise _refused(name, takes)
        return value

    def email(self, name: str, meaning: str, *, backend: str, unset: str) -> dict[str, Any]:
        """Django's settings of how mails are sent, from a URL; `backend` is Django's where there is none."""
        takes = "a URL such as smtp+tls://user:password@host:587"
        value = self._read(name, "", takes, meaning, unset)
        if not value:
            return {"EMAIL_BACKEND": backend}
        parts = _parts(name, value, takes)
        if parts.scheme not in environ.Env.EMAIL_SCHEMES or (parts.scheme.startswith("smtp") and not parts.hostname):
            raise _refused(name, takes)
        config: dict[str, Any] = environ.Env.email_url_config(value)
        return config

    def secret_key(self, name: str, meaning: str, *, made_in: Path | None, unset: str) -> str:
        """A secret key, or one that is made once in this folder, as beside embedded engines."""
        if given := self.text(name, SECRET, meaning, unset=unset):
            return given
        if made_in is None:
            raise ImproperlyConfigured(
                f"set {name} to a long random string, the same for every process (DATABASE_URL is set)"
            )
        return _made_once(made_in / "secret-key")


def _refused(name: str, takes: str) -> ImproperlyConfigured:
    """The value is not repeated: it may be a secret, and whoever set it finds it by the name."""
    return ImproperlyConfigured(f"{name} must be {takes}.")


def _parts(name: str, value: str, takes: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        raise _refused(name, takes) from None
    return parts


def _made_once(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        draft = path.with_name(f"secret-key.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)  # all or nothing, and the first of two processes wins
        finally:
            draft.unlink()
    return path.read_text()
