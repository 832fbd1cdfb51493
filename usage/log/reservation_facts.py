"""What the events of a reservation carry as their metadata: what was asked for, and what came of it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from billing.rules.tokens.model_prices import ModelRates
from usage.log.events import CHARGE, EXTEND, LATEST_MS, SETTLE, VOID, Event, MalformedEvent

OPEN, SETTLED, RELEASED, EXPIRED = "open", "settled", "released", "expired"
"""States of a reservation."""
BUDGETS = "budgets"
"""What names the tokens that its key may use a day and a month, and its run, as of its opening; None: no budget."""
TEXTS = {"model": 100, "run": 64, "state": 10, "outcome": 10}
"""Of its row, and their lengths."""


class End(NamedTuple):
    """How a reservation ends. `cost` is what it has cost in tokens, of which the quota may not have all.

    `used` are the units that were reported, {"tokens": n}, or None: nobody has reported any.
    """

    state: str
    cost: int
    used: Mapping[str, Any] | None
    outcome: str
    estimated: bool


def asked(*, rates: ModelRates | None, units: Mapping[str, Any] | None, run: str, parent: str) -> dict[str, Any]:
    """Of the charge. The rates hold until its end, whatever prices follow."""
    facts: dict[str, Any] = {"units": units, "run": run, "parent": parent}
    if rates is not None:
        facts |= {"model": rates.model, "rates": [*rates[2:]]}
    return {name: value for name, value in facts.items() if value not in (None, "")}


def rates_of(charge: Event) -> ModelRates | None:
    """Those that a charge was made by; None: its bound was given in tokens."""
    about = charge.metadata or {}
    return ModelRates(about["model"], charge.feature, *about["rates"]) if "rates" in about else None


HELD = "held"
"""What a reservation held when it ended. Where the log knows of another bound, the difference is taken back."""
_NO_BOUND = b'"held":0'


def adjustment(charge: Event, end: End, at_ms: int) -> Event:
    """The one adjustment of a reservation's charge, without its tokens, which follow from what it holds by then.

    It carries what the charge carries: it may be stored first. An Idempotency-Key stays with the charge: whoever
    repeats the request is told of this reservation.
    """
    facts = end._asdict() | {"used": None if end.used is None else dict(end.used)}
    kind = VOID if end.used is None and end.cost == 0 else SETTLE
    metadata = (charge.metadata or {}) | facts
    return charge._replace(
        kind=kind, tokens=0, at_ms=at_ms, bound=charge.tokens, metadata=metadata, key="", fingerprint=""
    )


def end_text(charge: Event, end: End, at_ms: int) -> tuple[bytes, bytes, bytes]:
    """That of its adjustment: before its tokens, up to what it held, and the rest."""
    event = adjustment(charge, end, at_ms)
    before, after = event._replace(metadata={**(event.metadata or {}), HELD: 0}).around_tokens()
    up_to_bound, name, rest = after.rpartition(_NO_BOUND)
    return before, up_to_bound + name[:-1], rest


def correction(end: Event, tokens: int) -> Event:
    """An event beside an end: what the log counts too much, or too little, of its bound."""
    event_id = str(UUID(int=UUID(end.charge).int ^ 2))
    about = {"reservation": end.charge}
    return end._replace(charge=event_id, kind=EXTEND, tokens=tokens, metadata=about, bound=None)


def extension(charge: Event, event_id: str, at_ms: int) -> Event:
    """An event that moves the bound of the charge's reservation, without its tokens."""
    about = {"reservation": charge.charge}
    return charge._replace(
        charge=event_id, kind=EXTEND, tokens=0, at_ms=at_ms, metadata=about, key="", fingerprint="", bound=None
    )


def _check_budgets(bounds: Any) -> None:
    _, _, _ = (bound if bound is None else number(bound) for bound in bounds)


def check(kind: str, metadata: Mapping[str, Any] | None) -> None:
    """Raises MalformedEvent for what no row could be made of."""
    try:
        about = metadata or {}
        if kind == EXTEND:
            _check_id(about["reservation"])
            return
        if number(about["expires_at"]) > LATEST_MS:
            raise ValueError("it expires after the year 9998")
        if about.get("parent") is not None:
            _check_id(about["parent"])
        if any(type(about.get(name, "")) is not str or len(about.get(name, "")) > most for name, most in TEXTS.items()):
            raise ValueError("a text is none, or too long")
        _check_budgets(about.get(BUDGETS, (None, None, None)))
        if "rates" in about:
            ModelRates("", "", *map(number, about["rates"]))
        if kind != CHARGE and ("state" in about or kind != VOID):  # a request that failed was voided as any other
            number(about["cost"])
            number(about.get(HELD, 0))
            if about["state"] not in (SETTLED, RELEASED, EXPIRED) or type(about["estimated"]) is not bool:
                raise ValueError("no state of a reservation that has ended")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedEvent(f"no event of a reservation: {error!r}") from error


def _check_id(text: str) -> None:
    if str(UUID(text)) != text:
        raise ValueError(f"{text!r} is no id as PostgreSQL writes it")


def number(value: Any) -> int:
    """Raises ValueError for what is no natural number that a column holds."""
    if type(value) is not int or not 0 <= value < 10**15:
        raise ValueError(f"{value!r} is no natural number below 10^15")
    return value
