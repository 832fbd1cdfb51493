"""Where webhooks may be sent: to public addresses, by https. Judged when an endpoint is set, and again at each try.

Under DEBUG http and this machine are allowed, too, so that a receiver can be tried out.
"""

from __future__ import annotations

import threading
from ipaddress import IPv6Address, ip_address
from queue import Empty, SimpleQueue
from typing import Final

import requests
from django.conf import settings
from requests_hardened.ip_filter import InvalidIPAddress, filter_host
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from billing.models.webhooks.endpoints import LONGEST_URL
from billing.rules.refused import Refused

PORTS: Final = {"https": 443, "http": 80}
LOOK_UP_SECONDS: Final = 5.0
"""A resolver may take half a minute to give up, and it is a customer who names the host."""


class UrlRefused(Refused):
    """Nothing is sent there. Parameter: the `reason`: `form`, `scheme`, `user`, `address` or `unknown`."""

    code = "url_refused"


class NotPublic(Exception):
    """No OSError, as which a connection pool would take the library's own."""


def check(url: str) -> None:
    """Look the name up, and judge its address. Never within a transaction: the look-up may take seconds.

    Raises UrlRefused.
    """
    scheme, host, port = parts_of(url)
    try:
        judge(_looked_up(host, port or PORTS[scheme]))
    except (InvalidIPAddress, NotPublic):
        raise UrlRefused(reason="address") from None
    except (requests.RequestException, UnicodeError, ValueError, TimeoutError):
        raise UrlRefused(reason="unknown") from None


def _looked_up(host: str, port: int) -> str:
    """Its address, if the library lets it pass. Raises what that raises; TimeoutError after LOOK_UP_SECONDS."""
    found = SimpleQueue[str | Exception]()

    def look_up() -> None:
        try:
            found.put(filter_host(host, port, allow_loopback=settings.DEBUG))
        except Exception as error:
            found.put(error)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        answer = found.get(timeout=LOOK_UP_SECONDS)
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def judge(address: str) -> None:
    """Refuse what the library lets pass: IPv4 in outdated spellings of IPv6, and site-local. Raises NotPublic."""
    ip = ip_address(address.strip("[]"))
    if isinstance(ip, IPv6Address) and not ip.is_loopback and (ip.is_reserved or ip.is_site_local):
        raise NotPublic(ip)


def parts_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host without brackets and port, as the library reads them that connects. Raises UrlRefused."""
    if len(url) > LONGEST_URL or not url.isprintable() or any(letter in url for letter in ' \\"<>'):
        raise UrlRefused(reason="form")
    try:
        prepared = requests.Request("POST", url).prepare().url or ""
        given, parts = parse_url(url), parse_url(prepared)
    except (requests.RequestException, LocationParseError, UnicodeError, ValueError):
        raise UrlRefused(reason="form") from None
    if parts.scheme not in (PORTS if settings.DEBUG else ("https",)):
        raise UrlRefused(reason="scheme")
    if given.auth is not None or parts.auth is not None:
        raise UrlRefused(reason="user")
    if not parts.host or given.fragment is not None:
        raise UrlRefused(reason="form")
    assert parts.scheme is not None
    return parts.scheme, parts.host.strip("[]"), parts.port
