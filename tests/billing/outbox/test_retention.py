"""What is forgotten and when, what an operator measures, and what beat does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from freezegun import freeze_time

from billing import tasks
from billing.models import OutboxMessage
from billing.outbox import consumers, retention
from billing_site.beat.lookout import LOOKS
from tests.billing.outbox.taking import (
    ALICE,
    BOB,
    MICROSECOND,
    Clock,
    Taker,
    deliver,
    failing_on,
    happened,
    number,
)
from tests.billing.waiting import until
from tests.billing_site.operations.test_views import samples

pytestmark = pytest.mark.django_db
DAYS_30 = timedelta(days=30)


def long_after() -> datetime:
    return timezone.now() + 2 * DAYS_30


class TestPurge:
    def test_what_everybody_got_goes_after_thirty_days(self) -> None:
        happened(ALICE, 1)
        deliver(Clock(), log=Taker())
        recorded_at, left = OutboxMessage.objects.get().recorded_at, []
        for age in (DAYS_30 - MICROSECOND, DAYS_30, DAYS_30 + MICROSECOND):
            retention.purge(recorded_at + age)
            left.append(OutboxMessage.objects.count())
        assert left == [1, 1, 0]

    def test_what_somebody_waits_for_stays(self, settings: Any) -> None:
        settings.OUTBOX_CONSUMERS = {"log": "", "mail": ""}
        happened(ALICE, 1, 2)
        happened(BOB, 3)
        mail = failing_on(2)
        deliver(Clock(), log=Taker(), mail=mail)
        assert retention.purge(long_after()) == 2
        assert OutboxMessage.objects.get().payload == {"period": 2}

    def test_what_nobody_has_seen_stays(self) -> None:
        happened(ALICE, 1)
        assert retention.purge(long_after()) == 0

    def test_a_consumer_that_is_gone_holds_nothing_back(self, settings: Any) -> None:
        happened(ALICE, 1)
        number(["gone"])
        settings.OUTBOX_CONSUMERS = {}
        assert retention.purge(long_after()) == 1

    def test_more_than_a_batch_goes_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "BATCH", 3)
        happened(ALICE, *range(7))
        deliver(Clock(), log=Taker())
        assert retention.purge(long_after()) == 7

    def test_positions_go_on_where_they_were(self) -> None:
        taker = Taker()
        happened(ALICE, 1)
        deliver(Clock(), log=taker)
        retention.purge(long_after())
        happened(ALICE, 2)
        deliver(Clock(), log=taker)
        assert taker.of(ALICE) == [1, 2]


class TestMetrics:
    def test_what_waits_and_for_how_long(self) -> None:
        with freeze_time(timezone.now() - timedelta(seconds=100)):
            happened(ALICE, 1, 2)
        happened(BOB, 3)
        assert samples()["metered_outbox_waiting_messages[log]"] == 3
        clock = Clock()
        deliver(clock, log=failing_on(2))
        found = samples()
        assert (found["metered_outbox_waiting_messages[log]"], found["metered_outbox_failing_accounts[log]"]) == (1, 1)
        assert found["metered_outbox_lag_seconds[log]"] == pytest.approx(100, abs=30)
        clock.tick(2)
        deliver(clock, log=Taker())
        found = samples()
        waiting, failing, oldest = (
            "metered_outbox_waiting_messages[log]",
            "metered_outbox_failing_accounts[log]",
            "metered_outbox_lag_seconds[log]",
        )
        assert (found[waiting], found[failing], found[oldest]) == (0, 0, 0)

    def test_each_consumer_has_its_own(self, settings: Any) -> None:
        settings.OUTBOX_CONSUMERS = {"log": "", "mail": ""}
        happened(ALICE, 1)
        deliver(Clock(), log=Taker(), mail=failing_on(1))
        found = samples()
        assert (found["metered_outbox_waiting_messages[log]"], found["metered_outbox_waiting_messages[mail]"]) == (0, 1)


class TestBeat:
    def test_it_looks_every_second(self) -> None:
        (look,) = [look for look in LOOKS if look.task is tasks.every_second]
        assert look.seconds == 1

    @pytest.mark.django_db(transaction=True)
    def test_the_task_delivers_to_the_configured_consumers(self, caplog: pytest.LogCaptureFixture) -> None:
        assert consumers.configured()["log"] is consumers.write_to_log
        happened(ALICE, 7)
        with caplog.at_level("INFO", logger="billing.outbox.consumers"):
            tasks.every_second()
            until(lambda: not any(worker.is_alive() for worker in tasks.dispatcher().workers))
        assert f"account {ALICE}: subscription.renewed {{'period': 7}}" in caplog.text

    def test_it_purges(self) -> None:
        happened(ALICE, 1)
        deliver(Clock(), log=Taker())
        with freeze_time(long_after()):
            tasks.purge_outbox()
        assert not OutboxMessage.objects.exists()
