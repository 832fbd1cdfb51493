"""Tools for whoever has the work done: reserve what a call may cost, settle it, release it. For keys of scope `meter`.

Who pays must not say what was used, so a customer's own keys do not see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest

from billing.catalogue.in_memory import Catalogue
from billing.rules.tokens.model_prices import MOST_TOKENS, UNITS
from billing_site.mcp.tools import Arguments, tool
from usage.api.contract import charge_of_work
from usage.api.reservation_charges import charge_of_asked
from usage.api.reservation_views import released, reserved, settled
from usage.metering.call import LONGEST_RUN_NAME, ChargeRequest
from usage.metering.reservations.ends import OUTCOMES
from usage.metering.reservations.opening import LONGEST_LIFE_SECONDS
from usage.metering.voiding import METER_SCOPE

ID: Final = {"type": "string", "pattern": "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", "maxLength": 36}
TOKENS: Final = {"type": "integer", "minimum": 0, "maximum": MOST_TOKENS}
UNITS_SCHEMA: Final = {
    "type": "object",
    "properties": {unit: {"type": "integer", "minimum": 0} for unit in UNITS},
    "additionalProperties": False,
    "description": "Disjoint: input is uncached, reasoning is output. Leave out what was not reported.",
}
RESERVED: Final[Arguments] = {
    "feature": {"type": "string", "maxLength": 50},
    "model": {"type": "string", "maxLength": 100},
    "units": UNITS_SCHEMA,
    "tokens": TOKENS,
    "run": {"type": "string", "maxLength": LONGEST_RUN_NAME},
    "parent": ID,
    "expires_in": {"type": "integer", "minimum": 1, "maximum": LONGEST_LIFE_SECONDS, "description": "Seconds."},
}
REPORTED: Final[Arguments] = {
    "reservation": ID,
    "units": UNITS_SCHEMA,
    "tokens": TOKENS,
    "outcome": {"type": "string", "enum": list(OUTCOMES)},
    "estimated": {"type": "boolean"},
}


def _charge(request: HttpRequest, catalogue: Catalogue, arguments: Mapping[str, Any]) -> ChargeRequest:
    return charge_of_asked(request, dict(arguments), catalogue)


def _charge_of_work(request: HttpRequest, catalogue: Catalogue, _: Mapping[str, Any]) -> ChargeRequest:
    return charge_of_work(request, catalogue)


@tool(RESERVED, scope=METER_SCOPE, charge=_charge, changes_nothing=False)
def reserve(
    request: HttpRequest,
    feature: str,
    model: str | None = None,
    units: dict[str, Any] | None = None,
    tokens: int | None = None,
    run: str | None = None,
    parent: str | None = None,
    expires_in: int | None = None,
) -> dict[str, Any]:
    """Hold what a call may cost at most, before it is made: units of a model, or tokens. Settle or release it."""
    asked = {
        "feature": feature,
        "model": model,
        "units": units,
        "tokens": tokens,
        "run": run,
        "parent": parent,
        "expires_in": expires_in,
    }
    return reserved(request, _given(asked), request.content_type or "")


@tool(REPORTED, scope=METER_SCOPE, charge=_charge_of_work, changes_nothing=False)
def settle(
    request: HttpRequest,
    reservation: str,
    units: dict[str, Any] | None = None,
    tokens: int | None = None,
    outcome: str | None = None,
    estimated: bool | None = None,
) -> dict[str, Any]:
    """Charge what was used of a reservation, and give back the rest. Without units the last heartbeat counts."""
    return settled(
        request,
        reservation,
        _given({"units": units, "tokens": tokens, "outcome": outcome, "estimated": estimated}),
    )


@tool({"reservation": ID}, scope=METER_SCOPE, charge=_charge_of_work, changes_nothing=False)
def release(request: HttpRequest, reservation: str) -> dict[str, Any]:
    """Give a reservation back: nothing was done."""
    return released(request, reservation)


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
