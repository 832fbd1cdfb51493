"""manage.py move_subscribers"""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import BulkMove, Plan, Subscription
from billing.subscriptions.bulk import moves
from billing.subscriptions.bulk.moves import Order
from tests.factories import make_plan, make_subscription

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def subscribers() -> None:
    low = make_plan("low", 31, 1)
    make_plan("high", 93, 3)
    for _ in range(2):
        make_subscription(low, timezone.now())


def run(*args: str, **options: Any) -> str:
    out = StringIO()
    call_command("move_subscribers", *args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


ALL = ("--from", "low", "--to", "high", "--when", "now", "--reason", "retired")


def test_all_are_moved_and_counted() -> None:
    said = run(*ALL, "--yes")
    assert "2 would be moved now" in said
    assert "2 were moved now" in said
    assert "net 124.00" in said
    assert Subscription.objects.filter(plan__code="high").count() == 2


def test_a_dry_run_moves_nobody() -> None:
    said = run(*ALL, "--dry-run", "--keep-price")
    assert "of them 2 at the price they have" in said
    assert "nobody was moved" in said
    move = BulkMove.objects.get()
    assert (Subscription.objects.filter(plan__code="low").count(), move.state) == (2, "stopped")
    with pytest.raises(CommandError, match="is stopped"):
        run("--go-on", str(move.pk), "--yes")


def test_without_an_answer_nobody_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("no\n"))
    with pytest.raises(CommandError, match="nobody was moved; --go-on"):
        run(*ALL)
    monkeypatch.setattr("sys.stdin", StringIO("yes\n"))
    assert "2 were moved" in run("--go-on", str(BulkMove.objects.get().pk))


def test_a_move_of_the_admin_is_gone_on_with_or_stopped() -> None:
    low, high = (Plan.objects.get(code=code) for code in ("low", "high"))
    move = moves.begin(Order(low, high, BulkMove.When.AT_PERIOD_END, False, "x"), timezone.now())
    assert "2 were moved when their periods end" in run("--go-on", str(move.pk), "--yes")
    with pytest.raises(CommandError, match="The move is finished"):
        run("--stop", str(move.pk))


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((), "give --from, --to, --when, --reason"),
        (("--from", "low", "--to", "none", "--when", "now", "--reason", "x"), "there is no plan none"),
        (("--from", "low", "--to", "low", "--when", "now", "--reason", "x"), "on that plan already"),
        (("--from", "high", "--to", "low", "--when", "now", "--reason", "x"), "nobody to move"),
        (("--go-on", "77"), "there is no move 77"),
        ((*ALL[:-1], "x" * 201), "at most 200"),
    ],
)
def test_what_makes_no_sense_is_one_line(args: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        run(*args)
