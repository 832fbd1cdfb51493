"""Every environment variable: what makes no sense is refused at the start, with the variable's name."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from billing_site.environment import known
from tests.programs import configuration

CHECKOUT = Path(__file__).resolve().parents[2]
NUMBER = ["0", "-1", "abc", "1.5", "1e3", "0x10", "nan", "9" * 20]
NUMBER_OR_NONE = [value for value in NUMBER if value != "0"]
FLAG = ["yess", "2", "-1", "true;"]
REDIS = [
    "nonsense",
    "http://host/0",
    "redis://host:port/0",
    "redis://host/x",
    "redis://host/0?socket_timeout=x",
    "unix://",
]
FOLDER = [__file__]

# Of each variable: what is refused; what is taken, and the setting's value then.
TABLE: dict[str, tuple[list[str], list[tuple[str, str, Any]]]] = {
    "DATABASE_URL": (
        ["nonsense", "mysql://host/db", "postgresql://host", "postgresql://host:port/db", "postgresql://host:70000/db"],
        [("postgres://u:p@host:5433/db", "DATABASE_URL", "postgres://u:p@host:5433/db")],
    ),
    "REDIS_URL": (REDIS, [("rediss://:pw@host:6380/3", "REDIS_URL", "rediss://:pw@host:6380/3")]),
    "CACHE_URL": (REDIS, [("unix:///run/r.sock?db=4", "CACHE_URL", "unix:///run/r.sock?db=4")]),
    "BROKER_URL": (
        ["nonsense", "http://host", "redis://host:port/0"],
        [(url, "BROKER_URL", url) for url in ("amqps://host//", "redis+socket:///run/r.sock?virtual_host=2")],
    ),
    "REDIS_CLUSTER": (FLAG, [("no", "REDIS_CLUSTER", False)]),
    "REDIS_TIMEOUT_MS": ([*NUMBER, "60001"], [("1", "REDIS_TIMEOUT_MS", 1)]),
    "REDIS_WAIT_REPLICAS": (NUMBER_OR_NONE, [("0", "REDIS_WAIT_REPLICAS", 0)]),
    "REDIS_WAIT_MS": (NUMBER, [("7", "REDIS_WAIT_MS", 7)]),
    "RETRY_AFTER_MOST": (NUMBER, [("1", "RETRY_AFTER_MOST", 1)]),
    "REDIS_PROBE_MS": (NUMBER, [("1", "REDIS_PROBE_MS", 1)]),
    "SECRET_KEY": ([" "], [("$ecret", "SECRET_KEY", "$ecret")]),
    "SECRET_KEY_FALLBACKS": (["a,,b", "two words"], [("a, b", "SECRET_KEY_FALLBACKS", ["a", "b"])]),
    "DATABASE_HANGS_AFTER_MS": (NUMBER_OR_NONE, [("0", "DATABASE_HANGS_AFTER_MS", 0)]),
    "DATABASE_PLACES": (NUMBER_OR_NONE, [("0", "DATABASE_PLACES", 0)]),
    "DEBUG": (FLAG, [("on", "DEBUG", True)]),
    "ALLOWED_HOSTS": (
        ["https://host", "host:8000", "ho st", "a,,b", "host/path"],
        [("a.example, .b.example,[::1],*", "ALLOWED_HOSTS", ["a.example", ".b.example", "[::1]", "*"])],
    ),
    "CSRF_TRUSTED_ORIGINS": (
        ["host", "https://host/path", "ftp://host", "https://"],
        [("https://*.a.example,http://b:81", "CSRF_TRUSTED_ORIGINS", ["https://*.a.example", "http://b:81"])],
    ),
    "CORS_ALLOWED_ORIGINS": (
        ["*", "null", "https://*.a.example", "https://host/path", "https://host/", "app"],
        [
            (
                "https://app.example, http://localhost:5173",
                "CORS_ALLOWED_ORIGINS",
                ["https://app.example", "http://localhost:5173"],
            )
        ],
    ),
    "CONN_MAX_AGE": (NUMBER_OR_NONE, []),
    "DATABASE_STATEMENT_TIMEOUT_MS": ([*NUMBER_OR_NONE, "2147483648"], [("0", "DATABASE_STATEMENT_TIMEOUT_MS", 0)]),
    "HTTPS": (FLAG, [("yes", "HTTPS", True), ("YES", "HTTPS", True), ("0", "HTTPS", False)]),
    "BEHIND_PROXY": (FLAG, [("1", "BEHIND_PROXY", True)]),
    "STATIC_ROOT": (FOLDER, [("/srv/static", "STATIC_ROOT", Path("/srv/static"))]),
    "SIGN_UP": (FLAG, [("0", "SIGN_UP", False)]),
    "EMAIL_CONFIRMED_FIRST": (FLAG, [("1", "ACCOUNT_EMAIL_VERIFICATION", "mandatory")]),
    "EMAIL_URL": (
        ["nonsense", "http://host", "smtp://", "smtp://host:port"],
        [
            ("smtp+tls://u:p@host:587", "EMAIL_HOST_PASSWORD", "p"),
            ("", "EMAIL_BACKEND", "billing.mails.mailbox.Mailbox"),
        ],
    ),
    "DEFAULT_FROM_EMAIL": (
        ["nobody", "a@b, c@d", "x <y>", "a@b\nBcc: c@d"],
        [("Us <us@a.example>", "DEFAULT_FROM_EMAIL", "Us <us@a.example>")],
    ),
    "SITE_URL": (
        ["a.example", "https://a.example/path", "https://"],
        [("https://a.example", "SITE_URL", "https://a.example")],
    ),
    "SANDBOX": (FLAG, [("true", "SANDBOX", True)]),
    "AGENT_UPSTREAM_URL": (
        [
            "host/v1",
            "ftp://host/v1",
            "https://",
            "https://user:secret@host/v1",
            "https://ho st/v1",
            "https://host/v1#x",
        ],
        [("https://host:8443/v1?a=b", "AGENT_UPSTREAM_URL", "https://host:8443/v1?a=b")],
    ),
    "AGENT_UPSTREAM_KEY": (["two words", "é"], [("sk-1", "AGENT_UPSTREAM_KEY", "sk-1")]),
    "AGENT_UPSTREAM_SECONDS": ([*NUMBER, "121"], [("1", "AGENT_UPSTREAM_SECONDS", 1)]),
    "WHEN_REDIS_IS_DOWN": (["fall back", "Fallback"], [("refuse", "WHEN_REDIS_IS_DOWN", "refuse")]),
    "WEB_PROCESSES": (NUMBER, [("1", "WEB_PROCESSES", 1)]),
    "WEB_CONCURRENCY": (NUMBER, [("3", "WEB_PROCESSES", 3)]),
    "LONGEST_REQUEST_SECONDS": ([*NUMBER, "86401"], [("1", "LONGEST_REQUEST_SECONDS", 1)]),
    "PRORATION_GRANULARITY": (["week", "DAY", "0"], [("second", "PRORATION_GRANULARITY", "second")]),
    "LARGEST_INVOICES": (
        ["HUF", "HUF=", "HUF=x", "HUF=0", "huf=1", "=1", "HUF=1;EUR=2", "HUF=-1", "HUF=1,,EUR=2"],
        [("HUF=5000000, EUR=9", "LARGEST_INVOICES", {"HUF": 5_000_000, "EUR": 9})],
    ),
    "LARGEST_INVOICE": (NUMBER, [("1", "LARGEST_INVOICE", 1)]),
    "LARGEST_CLOCK_SKEW_SECONDS": ([*NUMBER, "3601"], [("1", "LARGEST_CLOCK_SKEW_SECONDS", 1)]),
    "STRIPE_SECRET_KEY": (["two words", "é"], [("sk_test_1", "STRIPE_SECRET_KEY", "sk_test_1")]),
    "STRIPE_WEBHOOK_SECRET": (["two words", "é"], [("whsec_1", "STRIPE_WEBHOOK_SECRET", "whsec_1")]),
    "STRIPE_API_BASE": (
        ["host:1", "https://host/v1"],
        [("http://127.0.0.1:12111", "STRIPE_API_BASE", "http://127.0.0.1:12111")],
    ),
    "API_KEY_PREFIX": (["with space", "a.b", "x" * 21], [("acme_", "API_KEY_PREFIX", "acme_")]),
    "METERED_IDENTIFY": (
        ["account_of", "a.b()", "1.a", "a..b"],
        [("shop.tokens.account_of", "METERED_IDENTIFY", "shop.tokens.account_of")],
    ),
    "MOST_API_KEYS": ([*NUMBER, "10001"], [("1", "MOST_API_KEYS", 1)]),
    "MOST_INVOICES_A_DAY": (NUMBER, [("1", "MOST_INVOICES_A_DAY", 1)]),
    "USAGE_LOG_MONTHS": (NUMBER, [("1", "USAGE_LOG_MONTHS", 1)]),
    "USAGE_LOG_MONTHS_AHEAD": ([*NUMBER, "241"], [("240", "USAGE_LOG_MONTHS_AHEAD", 240)]),
    "USAGE_LOG_EXPORTS": (FOLDER, [("/srv/log", "USAGE_LOG_EXPORTS", Path("/srv/log"))]),
    "PRICES_INCLUDE_TAX": (FLAG, [("1", "PRICES_INCLUDE_TAX", True)]),
    "ISSUE_ZERO_INVOICES": (FLAG, [("1", "ISSUE_ZERO_INVOICES", True)]),
    "USAGE_LOG_DROP": (FLAG, [("y", "USAGE_LOG_DROP", True)]),
    "OUTBOX_LEASE_SECONDS": (NUMBER, [("1", "OUTBOX_LEASE_SECONDS", 1)]),
    "LATE_EVENT_DAYS": ([*NUMBER, "91"], [("90", "LATE_EVENT_DAYS", 90)]),
    "WEBHOOKS_KEPT_DAYS": (NUMBER, [("1", "WEBHOOKS_KEPT_DAYS", 1)]),
    "OUTBOX_KEPT_DAYS": (NUMBER, [("1", "OUTBOX_KEPT_DAYS", 1)]),
    "STAFF_EMAIL": (
        ["two words", "a@b\nBcc: c@d"],
        [("Staff <staff@a.example>", "STAFF_EMAIL", "Staff <staff@a.example>")],
    ),
    "DUNNING_DAYS": (["0", "a", "1,,2", "-1", "1.5"], [("2, 4", "DUNNING_DAYS", [2, 4])]),
    "PAST_DUE_GRACE_DAYS": ([*NUMBER_OR_NONE, "3651"], [("0", "PAST_DUE_GRACE_DAYS", 0)]),
    "CHAIN_XPUBS": (
        ["1", "1=", "0=xpub6C", "a=xpub6C", "1=xpub-6C", "1=xpub6C,1=xpub6D"],
        [("1=xpub6C, 8453=xpub6D", "CHAIN_XPUBS", {"1": "xpub6C", "8453": "xpub6D"})],
    ),
    "CHAIN_RPC_URLS": (
        ["1", "1=", "http://node", "x=http://node", "1=ftp://node"],
        [
            (
                "1=https://node/key, 8453=http://b:8545",
                "CHAIN_RPC_URLS",
                {"1": "https://node/key", "8453": "http://b:8545"},
            )
        ],
    ),
    "AUTHORIZE_PREFLIGHTS": (FLAG, [("1", "AUTHORIZE_PREFLIGHTS", True)]),
    "TRUSTED_PROXIES": (
        ["10.0.0.0/33", "localhost", "10.0.0.1/8", "10.0.0.1,,"],
        [("10.0.0.0/8, ::1", "TRUSTED_PROXIES", [ip_network("10.0.0.0/8"), ip_network("::1")])],
    ),
    "CLIENT_ADDRESS_HEADER": (
        ["X Real IP", "X-Real-IP:", "X_Real_IP"],
        [("X-Real-IP", "CLIENT_ADDRESS_HEADER", "X-Real-IP")],
    ),
    "METRICS_TOKEN": (["two words", "é"], [("s3cret=", "METRICS_TOKEN", "s3cret=")]),
    "WEB_SLOW_CLIENT_SECONDS": ([*NUMBER, "3601"], [("1", "WEB_SLOW_CLIENT_SECONDS", 1)]),
    "WEB_LARGEST_BODY_BYTES": (NUMBER, [("1", "WEB_LARGEST_BODY_BYTES", 1)]),
    "PROMETHEUS_MULTIPROC_DIR": (FOLDER, []),
    "LOG_FORMAT": (["xml", "JSON"], [("json", "LOG_FORMAT", "json")]),
    "LOG_LEVEL": (["LOUD", "0", "INF"], [("DEBUG", "LOG_LEVEL", "DEBUG")]),
}
READ_ELSEWHERE = {"GUNICORN_CMD_ARGS", "HOST", "PORT", "LOCAL_DIR", "PAYMENTS"}
PYTHONS_OWN = {"PATH", "PYTHONUNBUFFERED", "DJANGO_SETTINGS_MODULE"}
REFUSED = [(name, value) for name, (values, _) in TABLE.items() for value in values]
TAKEN = [(name, *taken) for name, (_, values) in TABLE.items() for taken in values]


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """The settings that this environment makes."""
    for name in TABLE.keys() - {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in sys.modules if name.startswith("billing_site.variables.")]:
        monkeypatch.delitem(sys.modules, name)
    return runpy.run_path(str(CHECKOUT / "billing_site" / "settings.py"))


def test_the_table_knows_every_variable() -> None:
    assert known.variables.keys() == TABLE.keys() | READ_ELSEWHERE


def test_what_code_reads_has_a_meaning() -> None:
    """Whoever reads a variable past the groups still says what it is for, where the groups say it."""
    site = CHECKOUT / "billing_site"
    not_read = {site / "testing", site / "openapi"}  # for tests of hosts; samples, which their readers run
    of_the_site = (path for path in site.rglob("*.py") if not_read.isdisjoint(path.parents))
    source = "".join(path.read_text() for path in of_the_site)
    read = re.findall(r'environ(?:\.get\(|\[)\s*"(\w+)"', source)
    assert {*read} - PYTHONS_OWN == {*read} & known.variables.keys()
    assert all(variable.takes and variable.meaning.endswith(".") for variable in known.variables.values())


def test_the_page_of_all_variables_is_made_of_them() -> None:
    assert configuration.PAGE.read_text() == configuration.page(), "python -m tests.programs.configuration"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("REDIS_TIMEOUT", "REDIS_TIMEOUT_MS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("Secret_Key", "SECRET_KEY"),
        ("STRIPE_SECRET", "STRIPE_SECRET_KEY"),
        ("CHAIN_XPUB", "CHAIN_XPUBS"),
    ],
)
def test_a_misspelt_variable_is_found(given: str, meant: str) -> None:
    assert known.mistaken([given]) == {given: meant}


def test_others_variables_are_left_alone() -> None:
    """Of shells, proxies, Kubernetes and PostgreSQL's own tools."""
    others = "PATH HOME HOSTNAME HTTPS_PROXY https_proxy PGHOST REDIS_PORT REDIS_SERVICE_HOST DATABASE_HOST LOGNAME"
    assert known.mistaken([*others.split(), *TABLE, *READ_ELSEWHERE]) == {}


def test_a_misspelt_variable_is_a_warning_of_every_command() -> None:
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x", "ALLOWED_HOST": "hush"}
    argv = [sys.executable, "manage.py", "check"]
    done = subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "Nobody reads ALLOWED_HOST; ALLOWED_HOSTS is a variable." in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_nonsense_is_refused_with_the_variables_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(monkeypatch, **{name: value})
    assert str(refused.value).startswith(f"{name} must ") and "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "value", "setting", "expected"), TAKEN)
def test_sense_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str, setting: str, expected: Any) -> None:
    assert read(monkeypatch, **{name: value})[setting] == expected


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}))
def test_set_to_nothing_is_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unset, empty = read(monkeypatch), read(monkeypatch, **{name: ""})
    for values in (unset, empty):
        values.pop("__builtins__")
    assert {key: value for key, value in empty.items() if key.isupper()} == {
        key: value for key, value in unset.items() if key.isupper()
    }


def test_no_secret_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("REDIS_URL", "redis://:hush@host:port"), ("METRICS_TOKEN", "hush hush")):
        with pytest.raises(ImproperlyConfigured) as refused:
            read(monkeypatch, **{name: value})
        assert "hush" not in str(refused.value)


def test_a_replica_is_waited_for_within_a_calls_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables that make sense each, and none together, are refused by the start-up checks (E008)."""
    settings = read(monkeypatch, REDIS_WAIT_REPLICAS="1", REDIS_WAIT_MS="100")
    assert settings["REDIS_WAIT_MS"] == settings["REDIS_TIMEOUT_MS"]


@pytest.mark.parametrize(
    "argv", [["manage.py", "check"], ["-m", "gunicorn", "-c", "python:billing_site.gunicorn_config"]]
)
@pytest.mark.parametrize(("name", "value"), [("WEB_CONCURRENCY", "0"), ("HTTPS", "yess")])
def test_every_door_refuses(argv: list[str], name: str, value: str) -> None:
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x", name: value}
    argv = [sys.executable, *argv, *(["--check-config"] if "gunicorn" in argv else [])]
    done = subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0 and f"{name} must " in done.stderr
