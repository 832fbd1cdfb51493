"""The admin's page of the usage log: read, searched, never counted, never written."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.admin.lists.changelist import MOST_SUMMED
from billing.rules import ids
from tests.cast import Customer
from tests.outages import no_redis
from tests.usage.histories import MARCH, sums
from tests.usage.histories import charge as in_march
from usage.admin.log import LAST_PAGE
from usage.log import events
from usage.log.months import partitions
from usage.models import RedisOutage, SetAsideEntry, UsageLog
from usage.sync import outage

pytestmark = pytest.mark.django_db
LOG = "/admin/usage/usagelog/"


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("sue", password="sue"))
    return client


def charge(customer: Customer, at: datetime, **fields: Any) -> UsageLog:
    """A charge in the log, as the drain writes it."""
    partitions.ensure([at])
    event = uuid.UUID(ids.mint(round(at.timestamp() * 1000)))
    defaults = {"feature": "trace_start", "tokens": 10, "kind": events.CHARGE, "source": events.GATEWAY}
    return UsageLog.objects.create(
        id=event,
        event_id=event,
        charged_at=at,
        created_at=at,
        account=customer.user,
        window_starts_at=at.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
        **(defaults | fields),
    )


def void(entry: UsageLog) -> UsageLog:
    taken_back = UsageLog.objects.get(pk=entry.pk)
    taken_back.id = events.adjustment_of(entry.event_id)
    taken_back.kind, taken_back.tokens = events.VOID, -entry.tokens
    taken_back.save(force_insert=True)
    return taken_back


def shown(staff: Client, query: str = "") -> list[uuid.UUID]:
    answer = staff.get(f"{LOG}{query}")
    assert answer.status_code == 200
    return [entry.pk for entry in answer.context["cl"].result_list]


def test_newest_first_whatever_order_is_asked_for(staff: Client, alice: Customer) -> None:
    now = timezone.now()
    older, newer = charge(alice, now - timedelta(minutes=2)), charge(alice, now - timedelta(minutes=1))
    assert shown(staff) == shown(staff, "?o=2") == [newer.pk, older.pk]


def test_by_default_the_past_week_and_months_on_demand(staff: Client, alice: Customer) -> None:
    now = timezone.now()
    inside, outside = charge(alice, now - timedelta(days=6, hours=23)), charge(alice, now - timedelta(days=7, hours=1))
    month = datetime(now.year - 1, 12, 1, tzinfo=UTC)
    first, last = charge(alice, month), charge(alice, month + timedelta(days=31, milliseconds=-1))
    after = charge(alice, month + timedelta(days=31))
    assert shown(staff) == [inside.pk]
    assert shown(staff, f"?when={month:%Y-%m}") == [last.pk, first.pk]
    assert shown(staff, "?when=any") == [inside.pk, outside.pk, after.pk, last.pk, first.pk]
    assert shown(staff, "?when=hour") == shown(staff, "?when=never") == []


def test_an_event_is_found_with_its_void_however_old(staff: Client, alice: Customer) -> None:
    entry = charge(alice, timezone.now() - timedelta(days=60))
    charge(alice, timezone.now())
    taken_back = void(entry)
    assert set(shown(staff, f"?q={entry.event_id}")) == {entry.pk, taken_back.pk}


def test_a_username_finds_its_own_log_and_a_beginning_finds_all(staff: Client, alice: Customer, bob: Customer) -> None:
    User.objects.filter(pk=bob.account).update(username="alice2")
    of_alice, of_bob = charge(alice, timezone.now()), charge(bob, timezone.now())
    assert shown(staff, "?q=alice") == [of_alice.pk]
    assert set(shown(staff, "?q=ALI")) == {of_alice.pk, of_bob.pk}
    assert shown(staff, "?q=nobody") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?kind__exact=void", 0),
        ("?source=track", 1),
        ("?source=events", 1),
        ("?feature=risk_score", 1),
        ("?feature=trace_start", 2),
    ],
)
def test_filters(staff: Client, alice: Customer, query: str, found: int) -> None:
    charge(alice, timezone.now())
    charge(alice, timezone.now(), source=events.TRACK, feature="risk_score")
    charge(alice, timezone.now(), source=events.EVENTS)
    assert len(shown(staff, query)) == found


def test_no_query_counts_the_log_or_reads_its_distinct_values(staff: Client, alice: Customer) -> None:
    charge(alice, timezone.now())
    for query in ("", "?q=alice", "?kind__exact=charge", "?_facets=True", "?all="):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            staff.get(f"{LOG}{query}")
        on_log = [entry["sql"] for entry in queries if "usage_usagelog" in entry["sql"]]
        # The sum of what is filtered reads no more than it may.
        on_log = [sql for sql in on_log if f"LIMIT {MOST_SUMMED + 1}) AS filtered" not in sql]
        assert len(on_log) == 1, query
        assert "COUNT(" not in on_log[0] and "DISTINCT" not in on_log[0]
        assert "LIMIT 50" in on_log[0]


def test_pages_go_on_to_a_last_one(staff: Client, alice: Customer) -> None:
    now = timezone.now()
    for minutes in range(51):
        charge(alice, now - timedelta(minutes=minutes))
    assert (len(shown(staff)), len(shown(staff, "?p=2")), shown(staff, f"?p={LAST_PAGE}")) == (50, 1, [])
    assert staff.get(f"{LOG}?p={LAST_PAGE + 1}").status_code == 302


def test_an_entry_is_looked_at_and_never_written(staff: Client, alice: Customer) -> None:
    entry = charge(alice, timezone.now(), metadata={"job": "<b>7</b>"})
    page = f"{LOG}{entry.pk}/change/"
    text = staff.get(page).content.decode()
    assert "&lt;b&gt;7" in text and "_save" not in text
    for address in (page, f"{LOG}{entry.pk}/delete/", f"{LOG}add/"):
        assert staff.post(address, {"tokens": 0, "post": "yes"}).status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": str(entry.pk), "post": "yes"}
    staff.post(LOG, deletion)
    assert UsageLog.objects.get(pk=entry.pk).tokens == 10


def test_the_log_is_for_staff_who_may_see_it(alice: Customer) -> None:
    browser = Client()
    assert browser.get(LOG).status_code == 302
    browser.force_login(alice.user)
    assert browser.get(LOG).status_code == 403
    browser.force_login(User.objects.create_user("clark", is_staff=True))
    assert browser.get(LOG).status_code == 403


class TestSetAside:
    PAGE = "/admin/usage/setasideentry/"

    @pytest.fixture
    def entries(self, alice: Customer) -> list[SetAsideEntry]:
        """One that can be read by now, and one that never can."""
        payloads = [in_march(alice.account).encode(), b"[9,\xff]"]
        return [
            SetAsideEntry.objects.create(shard=3, stream_id=f"{MARCH * 1000}-{n}", payload=payload, error="format 9")
            for n, payload in enumerate(payloads)
        ]

    def retry(self, browser: Client, entries: list[SetAsideEntry]) -> Any:
        chosen = {"action": "retry", "_selected_action": [entry.pk for entry in entries]}
        return browser.post(self.PAGE, chosen, follow=True)

    def test_it_shows_its_bytes(self, staff: Client, entries: list[SetAsideEntry]) -> None:
        assert "format 9" in staff.get(f"{self.PAGE}?q=format").content.decode()
        page = f"{self.PAGE}{entries[1].pk}/change/"
        text = staff.get(page).content.decode()
        assert r"[9,\xff]" in text and "_save" not in text
        assert staff.post(page, {"payload": "x"}).status_code == 403

    def test_a_retry_counts_what_can_be_read_and_says_what_cannot(
        self, staff: Client, alice: Customer, entries: list[SetAsideEntry]
    ) -> None:
        text = self.retry(staff, entries).content.decode()
        assert "1 entries counted, 1 cannot be read and stay set aside." in text
        assert list(SetAsideEntry.objects.all()) == entries[1:]
        assert sums(alice.account) == {10}
        assert [entry.get_change_message() for entry in LogEntry.objects.all()] == ["Counted."]
        self.retry(staff, entries)
        assert sums(alice.account) == {10}

    def test_a_retry_without_redis_counts_nothing(
        self, staff: Client, alice: Customer, entries: list[SetAsideEntry], settings: Any
    ) -> None:
        with no_redis(settings):
            text = self.retry(staff, entries).content.decode()
        assert "Redis is out of reach" in text
        assert (SetAsideEntry.objects.count(), sums(alice.account)) == (2, {0})

    def test_what_each_member_of_staff_may_do(self, alice: Customer, entries: list[SetAsideEntry]) -> None:
        viewer = User.objects.create_user("vera", is_staff=True)
        viewer.user_permissions.add(Permission.objects.get(codename="view_setasideentry"))
        browser = Client()
        browser.force_login(viewer)
        deletion = f"{self.PAGE}{entries[1].pk}/delete/"
        self.retry(browser, entries)
        assert browser.post(deletion, {"post": "yes"}).status_code == 403
        assert (SetAsideEntry.objects.count(), sums(alice.account)) == (2, {0})
        viewer.user_permissions.add(Permission.objects.get(codename="delete_setasideentry"))
        assert browser.post(deletion, {"post": "yes"}).status_code == 302
        assert list(SetAsideEntry.objects.all()) == entries[:1]


def test_outages_of_redis_and_how_long_they_lasted(staff: Client, bob: Customer, settings: Any) -> None:
    page = "/admin/usage/redisoutage/"
    with no_redis(settings):
        bob.api.get("/api/v1/trace/start")
        assert "goes on" in staff.get(page).content.decode()
    assert outage.breaker.attempt()
    ended = RedisOutage.objects.get()
    seconds = (ended.ended_at - ended.began_at).total_seconds()
    assert f"{seconds:,.1f} s" in staff.get(page).content.decode()
    assert staff.get(f"{page}{ended.pk}/change/").status_code == 200
    assert staff.get(f"{page}add/").status_code == 403


def test_days_replace_the_past_week_and_tokens_are_summed(staff: Client, alice: Customer) -> None:
    at = timezone.now() - timedelta(days=40)
    old = charge(alice, at)
    charge(alice, timezone.now())
    days = f"charged_at__from={at:%Y-%m-%d}&charged_at__to={at:%Y-%m-%d}"
    assert shown(staff, f"?{days}") == [old.pk]
    assert "Sum of tokens" in staff.get(f"{LOG}?{days}").content.decode()
    assert b"trace_start" in b"".join(staff.get(f"{LOG}?{days}&_csv=1").streaming_content)
