"""What requests to reservations are charged for, before their views run."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from billing.catalogue.in_memory import Catalogue
from billing.rules.tokens.model_prices import WrongUnits
from ratelimit.servers.single import RedisUnreachable
from usage.api.contract import may_ask
from usage.api.reservation_serializers import ReserveRequest
from usage.api.views import readable_json
from usage.metering.call import ChargeRequest
from usage.metering.reservations import opening
from usage.metering.reservations.opening import Asked
from usage.metering.reservations.refusals import ReservationRefused
from usage.metering.voiding import METER_SCOPE


def charge_of_reservation(request: HttpRequest, catalogue: Catalogue) -> ChargeRequest:
    """The charge of the bound that a request asks for; none where the view is going to refuse the request."""
    return charge_of_asked(request, readable_json(request), catalogue) if request.method == "POST" else ChargeRequest()


def charge_of_asked(request: HttpRequest, data: Any, catalogue: Catalogue) -> ChargeRequest:
    """The charge of the bound that `data` asks for, as ReserveRequest has it; none where it is going to be refused."""
    if not may_ask(request, METER_SCOPE):
        return ChargeRequest()
    serializer = ReserveRequest(data=data)
    if not serializer.is_valid():
        return ChargeRequest()
    account = request.identified.account  # type: ignore[attr-defined]
    try:
        charge = opening.charge_request(asked_of(serializer.validated_data), catalogue, timezone.now(), account=account)
        return charge._replace(body_of=lambda: request.body)
    except (ReservationRefused, WrongUnits, RedisUnreachable):
        return ChargeRequest()


def asked_of(given: dict[str, Any]) -> Asked:
    """What ReserveRequest has found valid."""
    parent = given.get("parent")
    return Asked(
        feature=given["feature"],
        model=given.get("model", ""),
        units=given.get("units"),
        tokens=given.get("tokens"),
        run=given.get("run", ""),
        parent=str(parent) if parent else "",
        expires_in=given["expires_in"],
    )
