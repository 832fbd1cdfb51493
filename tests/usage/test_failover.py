"""Laws L1 and L2 over a failover of the enforcement Redis: the whole pipeline on a Redis Cluster."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing.models import LimitOverride
from billing_site.engines import Valkey
from billing_site.engines.process import wait_until
from ratelimit import store
from ratelimit.keys import shard_of
from tests.conftest import Customer, forget_everything
from tests.ratelimit.cluster import PATIENCE_SECONDS, ThreeNodes, standing_still, three_nodes
from tests.usage.histories import admit, in_redis_now, sums
from usage import ingest
from usage.outage import breaker

pytestmark = pytest.mark.django_db
COST, QUOTA = 10, 100


class Site:
    """A cluster that enforces for this process, one customer whose shard is served by the primary with a replica."""

    def __init__(self, nodes: ThreeNodes, customer: Customer, primary: Valkey, replica: Valkey) -> None:
        self.nodes, self.customer, self.primary, self.replica = nodes, customer, primary, replica

    def calls_until_refused(self) -> int:
        count = 0
        while admit(self.customer).admitted:
            count += 1
        return count

    def fail_over(self) -> None:
        """The primary is killed, and its replica takes over with the data it has."""
        self.primary.kill()
        self.nodes.take_over(self.replica, self.primary)

    def wait_until_replicated(self) -> None:
        def position(node: Valkey, name: str) -> int:
            return int(self.nodes.command(node, "INFO", "replication")[name])

        wait_until(
            lambda: position(self.replica, "slave_repl_offset") >= position(self.primary, "master_repl_offset"),
            PATIENCE_SECONDS,
            "the replica does not catch up",
        )


@pytest.fixture(scope="module")
def nodes() -> Iterator[ThreeNodes]:
    with three_nodes() as running:
        running.add_replica(running.nodes[1])
        yield running


@pytest.fixture
def site(nodes: ThreeNodes, customer: Callable[..., Customer], settings: Any) -> Iterator[Site]:
    one, other = nodes.nodes[1], nodes.nodes[3]
    for node in (one, other):
        if node.process is None:
            nodes.start_node(node)
    replica = one if nodes.role(one) == "slave" else other
    primary = other if replica is one else one
    nodes.wait_for_replication(replica)
    nodes.wait_for("ok", nodes.nodes)
    settings.REDIS_URL, settings.REDIS_CLUSTER = nodes.nodes[0].url, True
    forget_the_way()
    forget_everything()
    while True:
        somebody = customer(f"bob-{next(_names)}", "starter")
        if nodes.owner(shard_of(somebody.account)) is primary:
            break
    LimitOverride.objects.create(account=somebody.user, limit="quota", maximum=QUOTA)
    yield Site(nodes, somebody, primary, replica)
    forget_the_way()


_names = itertools.count(1)


@pytest.fixture(autouse=True)
def back_to_the_runs_own_redis() -> Iterator[None]:
    """Set up before `settings` is changed and so torn down after it is as it was."""
    yield
    forget_the_way()


def forget_the_way() -> None:
    store.store.cache_clear()
    store.client.cache_clear()


def assert_books_are_even(site: Site, tokens: int) -> None:
    ingest.drain()
    now_ms = time.time_ns() // 1_000_000
    assert ingest.backlog() == {}
    assert sums(site.customer.account) == {tokens}
    assert in_redis_now(site.customer, now_ms) == tokens


def test_a_lagging_replica_loses_what_was_not_drained_and_spends_nothing_twice(site: Site) -> None:
    assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
    site.wait_until_replicated()
    with standing_still(site.replica):
        site.nodes.command(site.primary, "CLIENT", "KILL", "TYPE", "replica")
        assert [admit(site.customer).admitted for _ in range(3)] == [True] * 3
        ingest.drain()  # the two that the replica has as well, and three that it never got
        assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
        site.primary.kill()
    site.nodes.take_over(site.replica, site.primary)
    assert admit(site.customer).quota.used == 60  # by PostgreSQL, which knows five and this one
    assert breaker.attempt()
    assert admit(site.customer).quota.used >= 70
    ingest.drain()  # the replica's two entries again
    assert site.calls_until_refused() == 3
    assert_books_are_even(site, QUOTA)


def test_a_replica_that_confirmed_every_charge_loses_none(site: Site, settings: Any) -> None:
    settings.REDIS_WAIT_REPLICAS, settings.REDIS_WAIT_MS = 1, PATIENCE_SECONDS * 1000
    forget_the_way()
    assert [admit(site.customer).admitted for _ in range(4)] == [True] * 4
    site.fail_over()
    settings.REDIS_WAIT_REPLICAS = 0
    forget_the_way()
    assert site.calls_until_refused() == 6
    assert_books_are_even(site, QUOTA)


def test_a_process_that_was_never_refused_anything_tells_the_new_primary(site: Site) -> None:
    """No call fails in between: this process only finds that another node answers."""
    assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
    site.wait_until_replicated()
    with standing_still(site.replica):
        site.nodes.command(site.primary, "CLIENT", "KILL", "TYPE", "replica")
        assert [admit(site.customer).admitted for _ in range(3)] == [True] * 3
        ingest.drain()
    site.nodes.command(site.replica, "CLUSTER", "FAILOVER", "TAKEOVER")
    site.nodes.wait_for_replication(site.primary)
    ingest.drain()
    assert site.calls_until_refused() == 5
    assert_books_are_even(site, QUOTA)
