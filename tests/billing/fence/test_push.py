"""The fence: raised by whatever changes a fact, told to Redis on commit, healed by the sweep after a crash."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.db.models import F

from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.models import ApiKey, Feature, Fence, LimitOverride, Plan, Route, Subscription, TokenTopUp
from ratelimit import scripts, store
from ratelimit.servers.single import Command, RedisUnreachable
from ratelimit.store import client
from tests.cast import Customer

STARTER = {"code": "starter"}


def version(subject: int) -> int:
    return Fence.objects.filter(subject=subject).values_list("version", flat=True).first() or 1


def waiting() -> set[int]:
    return set(Fence.objects.filter(version__gt=F("pushed")).values_list("subject", flat=True))


def in_redis(subject: int) -> int:
    """What every call compares; of the catalogue's copies, one for each shard, the lowest."""
    if subject != CATALOGUE:
        return int(client().get(f"{{s{subject % 64:02d}}}:v:{subject}") or 0)
    return min(int(client().get(f"{{s{shard:02d}}}:catalogue") or 0) for shard in range(64))


def raw(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def elsewhere(change: Callable[[], Any]) -> None:
    """Do it as another process would: in a connection of its own, committed."""

    def run() -> None:
        try:
            change()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


CATALOGUE_CHANGES: dict[str, Callable[[], Any]] = {
    "a plan saved": lambda: Plan.objects.get(**STARTER).save(),
    "plans updated": lambda: Plan.objects.filter(**STARTER).update(price=30),
    "a capability granted": lambda: Plan.objects.get(code="community").capabilities.add(
        Plan.objects.get(**STARTER).capabilities.get()
    ),
    "capabilities cleared": lambda: Plan.objects.get(**STARTER).capabilities.set([]),
    "a price": lambda: Feature.objects.filter(code="risk_score").update(tokens=4),
    "a feature removed": lambda: Feature.objects.get(code="risk_score").delete(),
    "a route added": lambda: Route.objects.create(path="/x", feature=Feature.objects.get(code="risk_score")),
    "routes removed": lambda: Route.objects.all().delete(),
    "raw SQL": lambda: raw("UPDATE billing_plan SET monthly_token_quota = 1"),
}
ACCOUNT_CHANGES: dict[str, Callable[[Any], Any]] = {
    "an override": lambda user: LimitOverride.objects.create(account=user, limit="quota", maximum=1),
    "a top-up": lambda user: TokenTopUp.objects.create(account=user, tokens=1),
    "a key": lambda user: ApiKey.issue(account=user, name="new"),
    "a key revoked": lambda user: ApiKey.objects.filter(account=user).update(revoked=True),
    "keys deleted": lambda user: ApiKey.objects.filter(account=user).delete(),
    "the subscription": lambda user: Subscription.objects.filter(account=user).update(
        plan=Plan.objects.get(code="pro")
    ),
    "deactivation": lambda user: get_user_model().objects.filter(pk=user.pk).update(is_active=False),
    "raw SQL": lambda user: raw(
        "UPDATE billing_subscription SET anchor = anchor - interval '1 day' WHERE account_id = %s", user.pk
    ),
}


@pytest.mark.django_db
class TestRaising:
    @pytest.mark.parametrize("name", CATALOGUE_CHANGES)
    def test_whatever_changes_the_catalogue_raises_its_fence_alone(self, bob: Customer, name: str) -> None:
        before, account = version(CATALOGUE), version(bob.account)
        CATALOGUE_CHANGES[name]()
        assert version(CATALOGUE) > before
        assert version(bob.account) == account
        assert CATALOGUE in waiting()

    @pytest.mark.parametrize("name", ACCOUNT_CHANGES)
    def test_whatever_changes_an_account_raises_its_fence_alone(
        self, bob: Customer, carol: Customer, name: str
    ) -> None:
        before, others, catalogue = version(bob.account), version(carol.account), version(CATALOGUE)
        ACCOUNT_CHANGES[name](bob.user)
        assert version(bob.account) > before
        assert (version(carol.account), version(CATALOGUE)) == (others, catalogue)

    def test_a_row_that_changes_hands_raises_both(self, bob: Customer, carol: Customer) -> None:
        before = version(bob.account), version(carol.account)
        ApiKey.objects.filter(account=bob.user).update(account=carol.user)
        after = version(bob.account), version(carol.account)
        assert after[0] > before[0] and after[1] > before[1]

    def test_what_is_no_fact_raises_nothing(self, bob: Customer) -> None:
        before = version(bob.account)
        bob.user.first_name = "Bob"
        bob.user.save()
        assert version(bob.account) == before

    def test_a_change_that_is_rolled_back_raises_nothing(self, bob: Customer) -> None:
        before = version(CATALOGUE)
        with transaction.atomic():
            Plan.objects.update(price=1)
            transaction.set_rollback(True)
        assert version(CATALOGUE) == before

    def test_counters_raise_each_once(self, bob: Customer, carol: Customer) -> None:
        before = version(bob.account), version(carol.account)
        push.invalidate_counters([carol.account, bob.account, bob.account])
        assert (version(bob.account), version(carol.account)) == (before[0] + 1, before[1] + 1)


@pytest.mark.django_db(transaction=True)
class TestPushing:
    def test_saving_tells_redis_on_commit(self, bob: Customer) -> None:
        with transaction.atomic():
            Plan.objects.get(**STARTER).save()
            held = in_redis(CATALOGUE)
            assert held < version(CATALOGUE)
        assert in_redis(CATALOGUE) == version(CATALOGUE) > held
        LimitOverride.objects.create(account=bob.user, limit="quota", maximum=1)
        assert in_redis(bob.account) == version(bob.account)
        assert waiting() == set()

    def test_after_a_crash_between_commit_and_push_the_sweep_heals(self, bob: Customer) -> None:
        push.sweep()
        bob.api.get("/api/v1/graph/nodes")
        elsewhere(lambda: raw("UPDATE billing_plan SET monthly_token_quota = 3 WHERE code = 'starter'"))
        elsewhere(lambda: ApiKey.objects.update(scope="meter"))
        assert waiting() == {CATALOGUE, bob.account}
        assert bob.api.get("/api/v1/graph/nodes").status_code == 200, "nobody was told yet"
        assert push.sweep() == 2
        assert (waiting(), push.sweep()) == (set(), 0)
        assert bob.api.get("/api/v1/graph/nodes").status_code == 429

    def test_while_redis_is_gone_it_waits_for_the_sweep(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable(*_: Any, **__: Any) -> Any:
            raise RedisUnreachable("no answer")

        with monkeypatch.context() as gone:
            gone.setattr(store.store(), "run", unreachable)
            LimitOverride.objects.create(account=bob.user, limit="quota", maximum=1)
            assert push.sweep() == 0
        assert bob.account in waiting()
        push.sweep()
        assert in_redis(bob.account) == version(bob.account)

    def test_a_sweep_takes_what_it_can_carry(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        push.sweep()
        Fence.objects.bulk_create([Fence(subject=subject, version=2) for subject in range(10**6, 10**6 + 5)])
        monkeypatch.setattr(push, "SWEEP_BATCH", 2)
        assert [push.sweep() for _ in range(4)] == [2, 2, 1, 0]

    def test_versions_only_grow(self, bob: Customer) -> None:
        push.sweep()
        key = f"{{s{bob.account % 64:02d}}}:v:{bob.account}"
        client().set(key, 1000)
        store.store().run(Command(scripts.RAISE_FENCES, [key.encode()], [999]))
        assert client().get(key) == b"1000"
        store.store().run(Command(scripts.RAISE_FENCES, [key.encode()], [1001]))
        assert client().get(key) == b"1001"

    def test_lifting_goes_above_what_redis_has_seen(self, bob: Customer) -> None:
        push.raise_above_redis(bob.account, 500)
        assert version(bob.account) == in_redis(bob.account) == 501
        push.raise_above_redis(bob.account, 100)
        assert version(bob.account) == 501

    def test_pushes_at_once_leave_the_last_version(self, bob: Customer) -> None:
        def save(_: int) -> None:
            try:
                Plan.objects.get(**STARTER).save()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(save, range(18)))
        push.sweep()
        assert in_redis(CATALOGUE) == version(CATALOGUE)
        assert waiting() == set()


@pytest.mark.django_db(transaction=True)
class TestActing:
    """On the very next request of a process that is warm, after a change made by another one."""

    @pytest.fixture
    def warm(self, bob: Customer) -> Customer:
        response = bob.api.get("/api/v1/graph/nodes")
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "3")
        return bob

    def next_call(self, customer: Customer, path: str = "graph/nodes") -> tuple[int, str | None]:
        response = customer.api.get(f"/api/v1/{path}")
        return response.status_code, response.get("X-Usage-Cost")

    def test_a_plans_quota(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(Plan.objects.get(**STARTER), monthly_token_quota=5))
        assert self.next_call(warm) == (429, "0")
        elsewhere(lambda: self.edit(Plan.objects.get(**STARTER), monthly_token_quota=None))
        assert self.next_call(warm) == (200, "3")

    def test_a_plans_limit(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(Plan.objects.get(**STARTER), requests_per_minute=1))
        assert self.next_call(warm) == (429, "0")

    def test_a_features_price(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(Feature.objects.get(code="graph_query"), tokens=4))
        assert self.next_call(warm) == (200, "4")

    def test_a_features_capability(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(Feature.objects.get(code="graph_query"), capability=None))
        assert self.next_call(warm) == (200, "3")
        missing = Plan.objects.get(code="business").capabilities.get(code="ai_agents")
        elsewhere(lambda: self.edit(Feature.objects.get(code="graph_query"), capability=missing))
        assert self.next_call(warm) == (403, "0")

    def test_a_route_added_and_removed(self, warm: Customer) -> None:
        feature = Feature.objects.get(code="risk_score")
        elsewhere(lambda: Route.objects.create(path="/api/v1/graph/nodes/new", feature=feature))
        assert self.next_call(warm, "graph/nodes/new") == (200, "2")
        elsewhere(lambda: Route.objects.get(path="/api/v1/graph/nodes/new").delete())
        assert self.next_call(warm, "graph/nodes/new") == (200, "3")
        elsewhere(lambda: Route.objects.get(path="/api/v1/graph/nodes").delete())
        assert self.next_call(warm) == (200, None)

    def test_an_override_and_its_removal(self, warm: Customer) -> None:
        elsewhere(lambda: LimitOverride.objects.create(account=warm.user, limit="quota", maximum=3))
        assert self.next_call(warm) == (429, "0")
        elsewhere(lambda: LimitOverride.objects.get().delete())
        assert self.next_call(warm) == (200, "3")

    def test_a_top_up(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(Plan.objects.get(**STARTER), monthly_token_quota=5))
        assert self.next_call(warm) == (429, "0")
        elsewhere(lambda: TokenTopUp.objects.create(account=warm.user, tokens=1))
        assert self.next_call(warm) == (200, "3")
        assert self.next_call(warm) == (429, "0")

    def test_a_revoked_key(self, warm: Customer) -> None:
        elsewhere(lambda: self.edit(ApiKey.objects.get(account=warm.user), revoked=True))
        assert self.next_call(warm) == (401, None)

    @staticmethod
    def edit(row: Any, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
