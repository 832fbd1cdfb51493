"""Notices log-ins from a place that an account was not seen at before: another browser, or another network.

What is kept of a place: the browser and the system by name, the network (the first 24 bits of an IPv4 address, 48 of an
IPv6 one), when it was seen first and last, and a digest of these by which it is known again. Never the whole address.
It is forgotten after KEPT without a log-in from there, and with the person.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from billing.models import KnownPlace
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.postgres.clock import ClockSkewed
from billing.users import User
from billing_site.request.client_address import client_address

logger = logging.getLogger(__name__)
KEPT: Final = timedelta(days=180)
MOST: Final = 50
"""Places of one account; those that were not seen for longest are forgotten."""
# In this order: most browsers name others as well.
BROWSERS: Final = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS: Final = {
    "Android": "Android",
    "iPhone|iPad": "iOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


@receiver(user_logged_in, dispatch_uid="billing_site.places")
def remember(sender: object, request: HttpRequest | None, user: User, **_: Any) -> None:
    """A log-in never fails by it."""
    if request is None or not client_address(request):
        return
    try:
        note(user.pk, browser_of(request.headers.get("User-Agent", "")), network_of(client_address(request)))
    except ClockSkewed as error:
        logger.error("the place of a log-in was not noted: %s", error)


def note(account: int, browser: str, network: str, now: datetime | None = None) -> bool:
    """Remember a place; whether the account is told of it. Nobody is told of the first one there is."""
    now = now or timezone.now()
    digest = salted_hmac("billing_site.places", f"{account}|{browser}|{network}").hexdigest()[:32]
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=account)  # two log-ins at once are told of once
        places = KnownPlace.objects.filter(account=account)
        places.filter(seen_at__lt=now - KEPT).delete()
        is_first = not places.exists()
        place, is_new = places.get_or_create(
            account_id=account,
            digest=digest,
            defaults={"browser": browser, "network": network, "first_seen_at": now, "seen_at": now},
        )
        if not is_new:
            places.filter(pk=place.pk).update(seen_at=now)
            return False
        kept = places.order_by("-seen_at", "-pk").values("pk")[:MOST]
        places.exclude(pk__in=[row["pk"] for row in kept]).delete()
        if not is_first:
            record(Happened.NEW_PLACE, account, place=place.pk)
    return not is_first


def browser_of(user_agent: str) -> str:
    """Such as `Firefox, Linux`, without a version, which changes every month; "" of none that is known."""
    found = [
        next((name for pattern, name in names.items() if re.search(pattern, user_agent[:500])), "")
        for names in (BROWSERS, SYSTEMS)
    ]
    return ", ".join(filter(None, found))


def network_of(address: str) -> str:
    """Such as `192.0.2.0/24`; "" of what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped or parsed
    return str(ipaddress.ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
