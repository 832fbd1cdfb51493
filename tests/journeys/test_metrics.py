"""/metrics of two worker processes, whichever of them is asked."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cast import Customer
from tests.journeys.server import Server

pytestmark = pytest.mark.django_db(transaction=True)
CALLS = 24


def admitted(server: Server) -> float:
    """What the process that takes a new connection says."""
    with server.session() as session:
        text = session.get(f"{server.url}/metrics", timeout=30).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(s.value for s in samples if (s.name, s.labels) == ("gateway_decisions_total", {"outcome": "admitted"}))


def test_every_process_gives_the_sum_of_all(server: Server, erin: Customer) -> None:
    before = admitted(server)
    for _ in range(CALLS):
        with server.session(erin.key) as session:  # a new connection, which either process takes
            assert session.get(f"{server.url}/api/v1/usage/current", timeout=30).status_code == 200
    assert {admitted(server) - before for _ in range(12)} == {CALLS}
