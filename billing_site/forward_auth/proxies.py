"""Which proxies are believed when they say what their clients asked for."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest


def is_trusted(request: HttpRequest) -> bool:
    """Whether the other end of the connection is in TRUSTED_PROXIES: its address, never what a header says."""
    try:
        peer = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has none
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in network for network in settings.TRUSTED_PROXIES)
