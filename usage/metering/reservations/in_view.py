"""A reservation in the hands of the view that has opened it: `request.admission.reserve(…)`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from billing.entitlements.callers import Caller
from billing.rules.instants import from_ms
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.admission import Admission
from usage.metering.reservations import finishing, opening, progress
from usage.metering.reservations.ends import COMPLETE, FAILED, Report, Settlement
from usage.metering.reservations.held import Held
from usage.metering.reservations.opening import Asked
from usage.metering.reservations.progress import Progress
from usage.metering.reservations.refusals import Repeated, ReservationRefused
from usage.metering.voiding import give_back_price

logger = logging.getLogger(__name__)


class ViewReservation:
    """One that is open until it is settled or released; whoever forgets it has it finished when it expires.

    `bound` in tokens: what it holds. `settlement` is what came of it, None while it is open.
    """

    def __init__(self, caller: Caller, call: Admission, held: Held, bound: int, expires_at: datetime) -> None:
        self._caller = caller
        self._call = call
        self._held = held
        self.bound = bound
        self.expires_at = expires_at
        self.settlement: Settlement | None = None

    @property
    def id(self) -> str:
        return self._held.id

    @property
    def parent(self) -> str:
        """Of which reservation it is a child; empty: of none."""
        return self._held.parent

    def heartbeat(self, units: Mapping[str, int | None] | None = None, *, tokens: int | None = None) -> None:
        """Tell what was used so far; it lives as long again. Raises BoundExceeded: the work is to be stopped."""
        moved = progress.heartbeat(self._held, _used(units, tokens) or {}, timezone.now())
        self.bound, self.expires_at = moved.bound, from_ms(moved.expires_at_ms)

    def settle(
        self,
        units: Mapping[str, int | None] | None = None,
        *,
        tokens: int | None = None,
        outcome: str = COMPLETE,
        estimated: bool = False,
    ) -> Settlement:
        """Charge what was used, and give back the rest. Without units or tokens the last heartbeat counts.

        `outcome` is complete, aborted or failed. Raises as finishing.settle does.
        """
        report = Report(_used(units, tokens), outcome, estimated)
        self.settlement = finishing.settle(self._held, report, timezone.now())
        self._call.note_units()
        return self.settlement

    def release(self) -> Settlement:
        """Nothing was done: all of it is given back."""
        self.settlement = finishing.release(self._held, timezone.now())
        self._call.note_units()
        return self.settlement

    def end_failed(self) -> None:
        """Its call has failed: unless it was settled, it is finished by its last heartbeat."""
        if self.settlement is not None:
            return
        try:
            self.settle(outcome=FAILED)
        except (ReservationRefused, RedisUnreachable, OperationalError, InterfaceError, drain.Behind) as error:
            logger.warning("reservation %s is left to expire: %s", self.id, error)

    def child(self, feature: str, *, expires_in: int = opening.LIFE_SECONDS, **asked: Any) -> ViewReservation:
        """One of this one's bound, for a step of the work: `tokens`, or `model` and `units`. Settle it before this."""
        return reserve(self._call, feature, parent=self.id, expires_in=expires_in, **asked)


def reserve(call: Admission, feature: str = "", **asked: Any) -> ViewReservation:
    """Of the call's own feature, or another one. The call's fixed price is given back: it pays by what it reserves.

    Before it is asked for, so that a quota of just so many tokens suffices. Raises ReservationRefused, WrongUnits, and
    what admitting a call raises.
    """
    if call.replayed:
        raise Repeated
    if not feature and call.request.feature is None:
        raise ReservationRefused("invalid", reason="unknown_feature", feature="")
    own = call.request.feature.code if call.request.feature is not None else ""
    wanted = Asked(feature or own, **{"run": call.request.run} | asked)
    give_back_price(call)
    _, held, drawn = opening.reserve(call.caller, wanted, timezone.now())
    return _opened(call, held, drawn)


def reserve_alone(caller: Caller, feature: str, **asked: Any) -> ViewReservation:
    """Outside of a call: it is its own, and counts as no request. Raises as `reserve`."""
    call, held, drawn = opening.reserve(caller, Asked(feature, **asked), timezone.now())
    call.pays_by_units = True  # a child's opening gives back no price: there is none beside the bound
    return _opened(call, held, drawn)


def _opened(call: Admission, held: Held, drawn: Progress | None) -> ViewReservation:
    if drawn is None:
        assert held.charge.metadata is not None
        drawn = Progress(held.charge.tokens, 0, held.charge.metadata["expires_at"])
    opened = ViewReservation(call.caller, call, held, drawn.bound, from_ms(drawn.expires_at_ms))
    call.reservations.append(opened)
    call.note_units()
    return opened


def _used(units: Mapping[str, int | None] | None, tokens: int | None) -> Mapping[str, Any] | None:
    return {"tokens": tokens} if tokens is not None else units
