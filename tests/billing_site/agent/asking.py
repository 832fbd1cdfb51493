"""What tests of the agent do: ask it, and look at what is left of its reservations."""

from __future__ import annotations

from typing import Any

from django.core.signals import request_finished
from django.db import close_old_connections

from tests.cast import Customer
from usage.drain import drain
from usage.models import Reservation, UsageLog

PATH = "/api/v1/agent/query"
INPUT_RATE, OUTPUT_RATE = 2_000, 8_000  # of m-large: thousandths of a token for 1,000 units


def body(text: str = "one two three", **told: Any) -> dict[str, Any]:
    return {"model": "m-large", "messages": [{"role": "user", "content": text}], "max_tokens": 1000} | told


def cost(read: int, written: int) -> int:
    return -(-(read * INPUT_RATE + written * OUTPUT_RATE) // 1_000_000)


def rows(customer: Customer) -> list[Reservation]:
    drain.catch_up(customer.account)
    return list(Reservation.objects.filter(account=customer.account).order_by("opened_at", "pk"))


def only(customer: Customer) -> Reservation:
    (row,) = rows(customer)
    return row


def charged(customer: Customer) -> int:
    """All that the log says."""
    drain.catch_up(customer.account)
    return sum(UsageLog.objects.filter(account=customer.account).values_list("tokens", flat=True))


def leave(response: Any) -> None:
    """As a server does whose client has gone; the test keeps its connection to PostgreSQL."""
    response._iterator.close()  # the test client's own, which closes the response once it is begun
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)
