"""What operators' tools are told of the chains that are read. Where none is configured, nothing is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import Error as DatabaseError
from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, Metric

from billing.models import Chain, ChainTransfer
from billing.payments.chains import configuration


def parts(now: datetime) -> dict[str, str]:
    """The state of each enabled chain, by a name such as `eip155:1`; empty also where PostgreSQL does not answer."""
    if not configuration.is_on():
        return {}
    try:
        return {chain.caip2: chain.state(now) for chain in Chain.objects.enabled()}
    except DatabaseError:
        return {}


def gauges(now: datetime) -> Iterable[Metric]:
    """Raises DatabaseError."""
    if not configuration.is_on():
        return
    name = ["chain"]
    stalled = GaugeMetricFamily("metered_chain_stalled", "1 while payments on a chain go unseen.", labels=name)
    parked = GaugeMetricFamily("metered_chain_parked", "1 while a chain waits for staff.", labels=name)
    behind = GaugeMetricFamily("metered_chain_cursor_behind_blocks", "Blocks below the head, not read.", labels=name)
    for chain in Chain.objects.enabled():
        stalled.add_metric([chain.caip2], chain.is_stalled(now))
        parked.add_metric([chain.caip2], chain.parked_at is not None)
        if chain.head_number is not None and chain.cursor_number is not None:
            behind.add_metric([chain.caip2], chain.head_number - chain.cursor_number)
    transfers = GaugeMetricFamily("metered_chain_transfers", "Transfers to deposits, by state.", labels=["state"])
    found = dict(ChainTransfer.objects.order_by().values_list("state").annotate(Count("pk")))
    for state in ChainTransfer.State.values:
        transfers.add_metric([state], found.get(state, 0))
    yield from (stalled, parked, behind, transfers)
