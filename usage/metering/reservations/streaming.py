"""A stream that pays for what it has sent: settled once, when it ends, fails, or its client leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from django.db import InterfaceError, OperationalError

from billing.rules.tokens.model_prices import WrongUnits
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.reservations.ends import ABORTED, COMPLETE, FAILED
from usage.metering.reservations.in_view import ViewReservation
from usage.metering.reservations.refusals import ReservationRefused

logger = logging.getLogger(__name__)
LEFT_TO_EXPIRE = (
    ReservationRefused,
    WrongUnits,
    RedisUnreachable,
    OperationalError,
    InterfaceError,
    drain.Behind,
)
"""What keeps a reservation from being settled: it expires, by its last heartbeat."""
Units = Mapping[str, "int | None"]
UnitsOf = Callable[[], "Units | None"]


class Settling(Iterator[bytes]):
    """The chunks, in their order. `close()` is what a server calls when it stops reading, whatever the reason."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        reservation: ViewReservation,
        units_of: UnitsOf,
        estimate_of: UnitsOf,
    ) -> None:
        self._source = chunks
        self._chunks = iter(chunks)
        self._reservation = reservation
        self._units_of = units_of
        self._estimate_of = estimate_of

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self._settle(COMPLETE)
            raise
        except BaseException:
            self._settle(FAILED)
            raise

    def close(self) -> None:
        try:
            for stoppable in (self._chunks, self._source):
                if hasattr(stoppable, "close"):
                    stoppable.close()
        finally:
            self._settle(ABORTED)

    def _settle(self, outcome: str) -> None:
        if self._reservation.settlement is not None:
            return
        units = self._units_of()
        estimated = units is None
        try:
            self._reservation.settle(self._estimate_of() if estimated else units, outcome=outcome, estimated=estimated)
        except LEFT_TO_EXPIRE as error:
            logger.warning("reservation %s of a stream is left to expire: %s", self._reservation.id, error)


def settling(
    chunks: Iterable[bytes],
    reservation: ViewReservation,
    units_of: UnitsOf,
    estimate_of: UnitsOf = lambda: None,
) -> Iterator[bytes]:
    """The chunks of a streaming response. `units_of` tells what was used so far, as it was reported.

    None: nobody has reported it. Then the view's own estimate counts, or else the last heartbeat, and without one
    nothing.
    """
    return Settling(chunks, reservation, units_of, estimate_of)
