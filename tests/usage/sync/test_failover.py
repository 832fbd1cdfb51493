"""Laws L1 and L2 over a failover of the enforcement Redis: the whole pipeline on a Redis Cluster."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing.models import LimitOverride
from ratelimit import store
from ratelimit.keys import shard_of
from tests.cast import Customer
from tests.conftest import forget_everything
from tests.ratelimit.cluster import PATIENCE_SECONDS, ThreeNodes, standing_still, the_cluster
from tests.usage.histories import admit, in_redis_now, sums
from usage.drain import drain
from usage.sync.outage import breaker

pytestmark = pytest.mark.django_db
COST, QUOTA = 10, 100


class Site:
    """A cluster that enforces for this process, one customer whose shard is served by the primary with a replica."""

    def __init__(self, nodes: ThreeNodes, customer: Customer) -> None:
        self.nodes, self.customer = nodes, customer

    def calls_until_refused(self) -> int:
        count = 0
        while admit(self.customer).admitted:
            count += 1
        return count


@pytest.fixture
def site(customer: Callable[..., Customer], settings: Any) -> Site:
    nodes = the_cluster()
    nodes.mend()
    settings.REDIS_URL, settings.REDIS_CLUSTER = nodes.url, True
    forget_the_way()
    forget_everything()
    while True:
        somebody = customer(f"bob-{next(_names)}", "starter")
        if nodes.owner(shard_of(somebody.account)) is nodes.primary:
            break
    LimitOverride.objects.create(account=somebody.user, limit="quota", maximum=QUOTA)
    return Site(nodes, somebody)


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
    drain.drain()
    now_ms = time.time_ns() // 1_000_000
    assert drain.backlog() == {}
    assert sums(site.customer.account) == {tokens}
    assert in_redis_now(site.customer, now_ms) == tokens


def test_a_lagging_replica_loses_what_was_not_drained_and_spends_nothing_twice(site: Site) -> None:
    assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
    site.nodes.wait_for_replication()
    with standing_still(site.nodes.replica):
        site.nodes.cut_off_replica()
        assert [admit(site.customer).admitted for _ in range(3)] == [True] * 3
        drain.drain()  # the two that the replica has as well, and three that it never got
        assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
        site.nodes.primary.kill()
    site.nodes.take_over()
    assert admit(site.customer).quota.used == 60  # by PostgreSQL, which knows five and this one
    assert breaker.attempt()
    assert admit(site.customer).quota.used >= 70
    drain.drain()  # the replica's two entries again
    assert site.calls_until_refused() == 3
    assert_books_are_even(site, QUOTA)


def test_a_replica_that_confirmed_every_charge_loses_none(site: Site, settings: Any) -> None:
    settings.REDIS_WAIT_REPLICAS, settings.REDIS_WAIT_MS = 1, PATIENCE_SECONDS * 1000
    forget_the_way()
    assert [admit(site.customer).admitted for _ in range(4)] == [True] * 4
    site.nodes.fail_over()
    settings.REDIS_WAIT_REPLICAS = 0
    forget_the_way()
    assert site.calls_until_refused() == 6
    assert_books_are_even(site, QUOTA)


def test_a_process_that_was_never_refused_anything_tells_the_new_primary(site: Site) -> None:
    """No call fails in between: this process only finds that another node answers."""
    assert [admit(site.customer).admitted for _ in range(2)] == [True] * 2
    site.nodes.wait_for_replication()
    with standing_still(site.nodes.replica):
        site.nodes.cut_off_replica()
        assert [admit(site.customer).admitted for _ in range(3)] == [True] * 3
        drain.drain()
    site.nodes.take_over()
    site.nodes.wait_for_replication()
    drain.drain()
    assert site.calls_until_refused() == 5
    assert_books_are_even(site, QUOTA)
