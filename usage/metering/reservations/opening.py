"""Opens reservations: the charge of what a call may cost at most, in the same one decision as any call's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from billing.catalogue.in_memory import Catalogue
from billing.entitlements.callers import Caller
from billing.rules.tokens import model_prices
from billing.rules.tokens.model_prices import MOST_TOKENS, ModelRates
from usage.log import events, reservation_facts
from usage.metering.admission import Admission
from usage.metering.admit import admit
from usage.metering.call import LONGEST_RUN_NAME, ChargeRequest, names_a_run
from usage.metering.reservations.held import Held, find, look_up
from usage.metering.reservations.progress import Progress, draw
from usage.metering.reservations.refusals import NoParent, NotAdmitted, ReservationRefused
from usage.metering.voiding import void_failed_call

DEEPEST = 3
"""Levels of reservations: one, its children, and theirs."""
LIFE_SECONDS, LONGEST_LIFE_SECONDS = 300, 3600
"""After its opening and after each heartbeat, as a rule and at most. Heartbeats may go on for ever."""


class Asked(NamedTuple):
    """What a reservation is asked for: units at most, by the price of a model, or tokens at most.

    Tokens beside units are for its children, which draw from it what they need.
    """

    feature: str
    model: str = ""
    units: Mapping[str, int | None] | None = None
    tokens: int | None = None
    run: str = ""
    parent: str = ""
    expires_in: int = LIFE_SECONDS
    """Seconds."""


class Priced(NamedTuple):
    """What is to be reserved, in tokens, and by which rates it is settled; None: by tokens."""

    bound: int
    rates: ModelRates | None


def priced(asked: Asked, catalogue: Catalogue, now: datetime) -> Priced:
    """Raises ReservationRefused: unknown model; WrongUnits."""
    if not asked.model and asked.tokens is not None:
        return Priced(asked.tokens, None)
    rates = catalogue.rates(asked.feature, asked.model, now)
    if rates is None:
        raise ReservationRefused("invalid", reason="unknown_model", model=asked.model, feature=asked.feature)
    return Priced(model_prices.cost(rates, asked.units or {}) + (asked.tokens or 0), rates)


def charge_request(
    asked: Asked, catalogue: Catalogue, now: datetime, *, account: int, counts: bool = True
) -> ChargeRequest:
    """The charge of a reservation: of its bound, or of nothing for a child, which draws from its parent's.

    With `counts` it is a request of the minute. Raises ReservationRefused, WrongUnits; ValueError for what the HTTP API
    refuses before; RedisUnreachable when nobody knows the parent for now.
    """
    _check(asked)
    feature = catalogue.features.get(asked.feature)
    if feature is None:
        raise ReservationRefused("invalid", reason="unknown_feature", feature=asked.feature)
    bound, rates = priced(asked, catalogue, now)
    metadata = reservation_facts.asked(rates=rates, units=asked.units, run=asked.run, parent=asked.parent)
    request = ChargeRequest(
        replace(feature, tokens=0 if asked.parent else bound),
        events.RESERVE,
        metadata,
        counts=counts,
        expires_in_ms=asked.expires_in * 1000,
        rates=rates,
        run=asked.run,
    )
    if not asked.parent:
        return request
    parent = look_up(account, asked.parent)
    if parent is None:
        raise NoParent(reason="unknown")
    if parent.depth >= DEEPEST:
        raise NoParent(reason="deep")
    metadata["depth"] = parent.depth + 1
    request = request._replace(window=(parent.charge.window_start, parent.charge.window_end))
    run = str((parent.charge.metadata or {}).get("run", ""))
    return request.in_run(run) if run and not asked.run else request


def _check(asked: Asked) -> None:
    if asked.run and not names_a_run(asked.run):
        raise ValueError(f"the run {asked.run!r} is not 1 to {LONGEST_RUN_NAME} printable ASCII characters")
    if not 1 <= asked.expires_in <= LONGEST_LIFE_SECONDS:
        raise ValueError(f"it expires in 1 to {LONGEST_LIFE_SECONDS} seconds, not in {asked.expires_in}")
    if asked.tokens is not None and not 0 <= asked.tokens <= MOST_TOKENS:
        raise ValueError(f"tokens are 0 to {MOST_TOKENS}, not {asked.tokens}")


def reserve(caller: Caller, asked: Asked, now: datetime) -> tuple[Admission, Held, Progress | None]:
    """Decide on it and charge it, beside a call that counts as a request by itself; a child's progress besides.

    Raises NotAdmitted, NoParent, BoundExceeded; ReservationRefused, WrongUnits; and what `admit` raises.
    """
    admission = admit(
        caller, lambda catalogue: charge_request(asked, catalogue, now, account=caller.account, counts=False)
    )
    if not admission.admitted:
        raise NotAdmitted(admission)
    try:
        return admission, *opened(admission, asked, now)
    except BaseException:
        void_failed_call(admission)
        raise


def opened(admission: Admission, asked: Asked, now: datetime) -> tuple[Held, Progress | None]:
    """The reservation that an admitted call has opened; a child draws its bound now. Raises as `reserve` does."""
    assert admission.event is not None, "a reservation is charged"
    held = Held(admission.event, by_redis=admission.by_redis)
    if admission.replayed:
        held = find(held.account, held.id)
    if not asked.parent:
        return held, None
    bound, _ = priced(asked, admission.snapshot.catalogue, now)
    return held, draw(held, bound, now)
