"""Where a request comes from."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The client's address; behind a proxy, what the proxy says in CLIENT_ADDRESS_HEADER. "" where nothing says it."""
    header = settings.CLIENT_ADDRESS_HEADER
    name = f"HTTP_{header.upper().replace('-', '_')}" if header else "REMOTE_ADDR"
    return str(request.META.get(name, ""))[:64]
