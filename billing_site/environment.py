"""Reads environment variables: a value that makes no sense is refused at the start, with the variable's name.

A variable that is set to nothing is unset. Everything here raises ImproperlyConfigured.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
import redis
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import TRANSPORT_ALIASES

YES = ("1", "true", "yes", "y", "on")
NO = ("0", "false", "no", "n", "off")


@dataclass(frozen=True)
class Pattern:
    """What a text has to look like, and the words for it."""

    pattern: re.Pattern[str]
    meaning: str


HOST = Pattern(
    re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", re.ASCII),
    "names or addresses of hosts without scheme and port, separated by commas",
)
ORIGIN = Pattern(
    re.compile(r"https?://(\*\.)?([\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII),
    "origins such as https://example.com, separated by commas",
)
HEADER = Pattern(re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"), "the name of a header, such as X-Real-IP")
TOKEN = Pattern(re.compile(r"[!-~]+"), "printable ASCII without spaces")
CURRENCY = Pattern(re.compile(r"[A-Z]{3}"), "currencies and whole numbers such as HUF=5000000, separated by commas")
DAY = Pattern(re.compile(r"[1-9][0-9]{0,2}"), "whole numbers of days from 1 to 999, separated by commas")
KEY_PREFIX = Pattern(re.compile(r"[A-Za-z0-9_-]{1,20}", re.ASCII), "up to 20 letters, digits, - and _")
SENDER = Pattern(
    re.compile(r"[^<>@\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+"),
    "an address such as billing@example.com, or Example <billing@example.com>",
)
SITE = Pattern(re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII), "such as https://example.com")
RPC_URL = Pattern(re.compile(r"https?://[^\s,]+"), "the http(s) address of a node each")
UPSTREAM = Pattern(re.compile(r"https?://[^\s@#]+"), "an http(s) address such as https://example.com/v1")
XPUB = Pattern(re.compile(r"[A-Za-z0-9]+", re.ASCII), "an extended public key each (xpub…)")
SECRET = Pattern(re.compile(r".*\S.*", re.DOTALL), "a long random string")


def _given(name: str) -> str:
    return os.environ.get(name, "")


def _refused(name: str, expected: str) -> ImproperlyConfigured:
    """The value is not repeated: it may be a secret, and whoever set it finds it by the name."""
    return ImproperlyConfigured(f"{name} must be {expected}.")


def text(name: str, like: Pattern) -> str:
    value = _given(name)
    if value and not like.pattern.fullmatch(value):
        raise _refused(name, like.meaning)
    return value


def flag(name: str, default: bool) -> bool:
    value = _given(name).lower()
    if value and value not in YES + NO:
        raise _refused(name, f"one of {', '.join(YES + NO)}")
    return value in YES if value else default


def number(name: str, default: int, *, least: int = 1, most: int = 10**12) -> int:
    value = _given(name)
    if not value:
        return default
    if not re.fullmatch(r"[0-9]{1,15}", value) or not least <= int(value) <= most:
        raise _refused(name, f"a whole number from {least} to {most}")
    return int(value)


def numbers(name: str, like: Pattern, *, most: int = 10**12) -> dict[str, int]:
    """Names with a whole number from 1 each, separated by commas."""
    pairs = [part.strip().partition("=") for part in _given(name).split(",")] if _given(name) else []
    for key, _, value in pairs:
        if not like.pattern.fullmatch(key) or not re.fullmatch(r"[0-9]{1,15}", value) or not 1 <= int(value) <= most:
            raise _refused(name, like.meaning)
    return {key: int(value) for key, _, value in pairs}


def by_chain(name: str, like: Pattern) -> dict[str, str]:
    """Values by chain id, separated by commas, such as 1=…,8453=…"""
    expected = f"chain ids with {like.meaning}, separated by commas, such as 1=…,8453=…"
    pairs = [part.strip().partition("=") for part in _given(name).split(",")] if _given(name) else []
    if not all(re.fullmatch(r"[1-9][0-9]{0,17}", key) and like.pattern.fullmatch(value) for key, _, value in pairs):
        raise _refused(name, expected)
    if len({key for key, _, _ in pairs}) < len(pairs):
        raise _refused(name, f"{expected}, each chain once")
    return {key: value for key, _, value in pairs}


def word(name: str, default: str, among: Collection[str]) -> str:
    value = _given(name) or default
    if value not in among:
        raise _refused(name, f"one of {', '.join(among)}")
    return value


def words(name: str, default: list[str], like: Pattern) -> list[str]:
    """Several values, separated by commas."""
    values = [part.strip() for part in _given(name).split(",")] if _given(name) else default
    if not all(like.pattern.fullmatch(value) for value in values):
        raise _refused(name, like.meaning)
    return values


def folder(name: str) -> Path | None:
    """A folder, which may still have to be made; None when unset."""
    value = _given(name)
    if value and Path(value).exists() and not Path(value).is_dir():
        raise _refused(name, "the path of a folder")
    return Path(value).absolute() if value else None


def _parts(name: str, expected: str) -> SplitResult:
    try:
        parts = urlsplit(_given(name))
        _ = parts.port  # reading it is what checks it
    except ValueError:
        raise _refused(name, expected) from None
    return parts


def postgres_url(name: str) -> str:
    expected = "a URL such as postgresql://user:password@host:5432/database"
    parts = _parts(name, expected)
    if _given(name) and (parts.scheme not in ("postgres", "postgresql", "psql", "pgsql") or len(parts.path) < 2):
        raise _refused(name, expected)
    return _given(name)


def redis_url(name: str) -> str:
    expected = "a URL such as redis://host:6379/0, rediss://… or unix:///path/of.sock?db=0"
    value, parts = _given(name), _parts(name, expected)
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
        raise _refused(name, expected)
    return value


def broker_url(name: str) -> str:
    expected = "a URL of a broker that Celery knows, such as redis://host:6379/2 or amqp://host"
    scheme = _parts(name, expected).scheme.partition("+")[0]
    if _given(name) and scheme not in TRANSPORT_ALIASES:
        raise _refused(name, expected)
    return _given(name)


def email(name: str, unset: str) -> dict[str, Any]:
    """Django's settings of how mails are sent, from a URL; `unset` is the backend where there is none."""
    expected = "a URL such as smtp+tls://user:password@host:587"
    if not _given(name):
        return {"EMAIL_BACKEND": unset}
    parts = _parts(name, expected)
    if parts.scheme not in environ.Env.EMAIL_SCHEMES or (parts.scheme.startswith("smtp") and not parts.hostname):
        raise _refused(name, expected)
    config: dict[str, Any] = environ.Env.email_url_config(_given(name))
    return config


def secret_key(made_in: Path | None) -> str:
    """SECRET_KEY, or one that is made once in this folder, as beside embedded engines. Raises ImproperlyConfigured."""
    if given := text("SECRET_KEY", SECRET):
        return given
    if made_in is None:
        raise ImproperlyConfigured(
            "set SECRET_KEY to a long random string, the same for every process (DATABASE_URL is set)"
        )
    path = made_in / "secret-key"
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
