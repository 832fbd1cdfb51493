"""One process that makes charges, by the function that the gateway calls, and counts what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from multiprocessing.queues import Queue
from typing import NamedTuple

VOIDED_ONE_IN = 500
FEATURES = ("trace_start", "trace_expand", "risk_score")


class Tally(NamedTuple):
    """What a client was told: charges that were admitted, voids among them, tokens that stand."""

    charges: int = 0
    voids: int = 0
    tokens: int = 0

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


def serve(accounts: list[int], orders: Queue[int], tallies: Queue[Tally]) -> None:
    """Make as many charges as each order says, until one says none."""
    import django

    django.setup()
    turns = cycle(accounts)
    features = cycle(FEATURES)
    while charges := orders.get():
        tallies.put(_charge(charges, turns, features))


def _charge(charges: int, accounts: Iterator[int], features: Iterator[str]) -> Tally:
    from billing.entitlements.callers import Caller
    from usage.metering.admit import admit
    from usage.metering.call import ChargeRequest
    from usage.metering.voiding import void_failed_call

    voids = tokens = 0
    for number in range(1, charges + 1):
        feature = next(features)
        admission = admit(Caller(next(accounts)), lambda known, code=feature: ChargeRequest(known.features[code]))
        if not (admission.admitted and admission.by_redis):
            raise RuntimeError(f"a charge did not go through the pipeline: {admission.decision}")
        tokens += admission.cost
        if number % VOIDED_ONE_IN == 0:
            tokens -= admission.cost
            void_failed_call(admission)
            voids += 1
    return Tally(charges, voids, tokens)
