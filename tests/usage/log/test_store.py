"""PostgreSQL's side: each event stored once, and sums that are those of the rows really stored."""

from __future__ import annotations

import random

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.effort import examples
from tests.usage.histories import charge, sums
from usage.log import store
from usage.models import DailyUsage, FeatureUsage, UsageLog, WindowUsage

pytestmark = pytest.mark.django_db


def test_a_charge_moves_every_sum() -> None:
    (counter,) = store.store([charge(7), charge(7, 3, "graph_query")]).counters
    assert (counter.account, counter.tokens, counter.revision) == (7, 13, 1)
    assert sums(7) == {13}
    assert dict(FeatureUsage.objects.values_list("feature", "tokens")) == {"trace_start": 10, "graph_query": 3}
    assert set(DailyUsage.objects.values_list("date__day", "feature", "calls")) == {
        (1, "trace_start", 1),
        (1, "graph_query", 1),
    }


def test_the_same_event_again_changes_nothing_and_tells_the_counter() -> None:
    event = charge(7)
    store.store([event, event])
    (counter,) = store.store([event]).counters
    assert (counter.tokens, counter.revision, UsageLog.objects.count()) == (10, 1, 1)


def test_a_void_before_its_charge_brings_the_charge_along() -> None:
    event = charge(7)
    (counter,) = store.store([event.voided(event.at_ms + 1)]).counters
    assert (counter.tokens, sums(7)) == (0, {0})
    store.store([event])
    assert sums(7) == {0}
    assert sorted(UsageLog.objects.values_list("kind", "tokens")) == [("charge", 10), ("void", -10)]
    assert DailyUsage.objects.get().calls == 0


def test_nothing_is_nothing() -> None:
    assert store.store([]).counters == []


def test_the_revision_grows_with_every_change_only() -> None:
    first, second = charge(7), charge(7)
    revisions = [store.store(batch).counters[0].revision for batch in ([first], [first], [second], [second, first])]
    assert revisions == [1, 1, 2, 2]


def test_windows_and_accounts_are_kept_apart() -> None:
    store.store([charge(7), charge(8, 3)])
    assert dict(WindowUsage.objects.values_list("account_id", "tokens")) == {7: 10, 8: 3}


class TestAppendOnly:
    @pytest.fixture
    def row(self) -> UsageLog:
        store.store([charge(7)])
        return UsageLog.objects.get()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE usage_usagelog SET tokens = 0",
            "DELETE FROM usage_usagelog",
            "UPDATE usage_usagelog_2031_03 SET tokens = 0",
            "DELETE FROM usage_usagelog_2031_03",
            "UPDATE usage_usagelog SET charged_at = '2031-04-02'",
        ],
    )
    def test_rows_are_neither_changed_nor_deleted(self, row: UsageLog, statement: str) -> None:
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        assert UsageLog.objects.get().tokens == 10

    def test_nor_through_the_orm(self, row: UsageLog) -> None:
        row.tokens = 0
        for change in (row.save, row.delete, UsageLog.objects.all().delete):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                change()


@examples(25, 250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_history_in_any_order_with_any_duplicates_has_the_same_sums(data: st.DataObject) -> None:
    accounts = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=12))
    charges = [charge(account, data.draw(st.integers(0, 9))) for account in accounts]
    voided = data.draw(st.lists(st.sampled_from(charges), unique=True))
    arrivals = charges + [event.voided(event.at_ms + 9) for event in voided]
    arrivals += data.draw(st.lists(st.sampled_from(arrivals), max_size=8))
    random.Random(data.draw(st.integers(0, 99))).shuffle(arrivals)
    with transaction.atomic():
        while arrivals:
            size = data.draw(st.integers(1, 7))
            store.store(arrivals[:size])
            arrivals = arrivals[size:]
        for account in set(accounts):
            standing = sum(event.tokens for event in charges if event.account == account and event not in voided)
            assert sums(account) == {standing}
        assert UsageLog.objects.count() == len(charges) + len(voided)
        transaction.set_rollback(True)
