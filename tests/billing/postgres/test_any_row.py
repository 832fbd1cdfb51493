"""One question about several querysets, at whatever instant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.models import OutboxCursor, OutboxMessage
from billing.postgres.any_row import AnyRow
from tests.billing.outbox.taking import ALICE, NOON, happened, number

pytestmark = pytest.mark.django_db


@pytest.fixture
def work() -> AnyRow:
    return AnyRow(lambda now: [OutboxMessage.objects.filter(position=None), OutboxCursor.objects.due("log", now)])


def test_a_row_of_any_will_do(work: AnyRow) -> None:
    found = [work.at(NOON)]
    happened(ALICE, 1)
    found.append(work.at(NOON))
    number()  # now a cursor is due, and no message is without position
    found.append(work.at(NOON))
    OutboxCursor.objects.all().delete()
    found.append(work.at(NOON))
    assert found == [False, True, True, False]


def test_each_question_is_of_its_own_instant(work: AnyRow) -> None:
    happened(ALICE, 1)
    number()
    assert [work.at(NOON + timedelta(seconds=after)) for after in (-1, 0, 1, -1)] == [False, True, True, False]


def test_it_is_one_statement(work: AnyRow, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        work.at(NOON)
