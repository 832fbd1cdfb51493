"""A mail storm: thresholds are crossed by many at the same moment, and who tells of it is killed. One mail each."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from django.db import connections

from billing.models import OutboxCursor, OutboxMessage, SentMail
from billing.outbox.kinds import Happened
from tests.billing.sale import lift_minute
from tests.billing.waiting import until
from tests.cast import Customer, call
from tests.processes import process
from usage.drain import drain
from usage.models import ThresholdCrossed, WindowUsage

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 64
EIGHTY, ALL = "80 % of your tokens are used", "All included tokens are used"
# Beat's two tasks in one process, and a provider that writes down what it takes, a line a mail.
WORKER = """
import json, os, time
import django
django.setup()
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend
class Provider(BaseEmailBackend):
    def send_messages(self, messages):
        for message in messages:
            line = json.dumps([message.to[0], message.subject, message.extra_headers["Message-ID"]]) + "\\n"
            out = os.open(os.environ["PROVIDER"], os.O_WRONLY | os.O_APPEND)
            os.write(out, line.encode())
            os.close(out)
        return len(messages)
settings.EMAIL_BACKEND = "__main__.Provider"
from billing.tasks import dispatch_outbox
from usage.tasks import look_at_thresholds
while True:
    look_at_thresholds()
    dispatch_outbox()
    time.sleep(0.02)
"""


class Site:
    """A worker that is killed and replaced, and what the provider got from it."""

    def __init__(self, took: Path) -> None:
        self.took = took
        took.touch()

    @property
    def mails(self) -> list[tuple[str, str, str]]:
        """To whom, subject and Message-ID; of the customers of this test, about what was used."""
        lines = [json.loads(line) for line in self.took.read_text().splitlines()]
        return [tuple(line) for line in lines if "tokens" in line[1]]

    def work_until(self, done: Callable[[], bool], *, kill: bool) -> None:
        with process("-c", WORKER, PROVIDER=str(self.took), OUTBOX_LEASE_SECONDS="1", LOG_LEVEL="ERROR") as worker:
            until(lambda: done() or worker.poll() is not None)
            assert worker.poll() is None, worker.stderr.read() if worker.stderr else ""
            worker.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            worker.wait(60)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "provider")


def all_at_once(calls: list[Callable[[], object]]) -> None:
    gate = Barrier(len(calls))

    def client(act: Callable[[], object]) -> None:
        gate.wait()
        try:
            act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        for each in [threads.submit(client, act) for act in calls]:
            each.result()


def with_address(customer: Customer) -> Customer:
    customer.user.email = f"{customer.user.username}@customers.example"
    customer.user.save()
    return customer


def is_quiet() -> bool:
    """Nothing is marked, and nothing waits in the outbox."""
    marked = WindowUsage.objects.filter(look_at__isnull=False).exists()
    unnumbered = OutboxMessage.objects.filter(position=None).exists()
    return not (marked or unnumbered or OutboxCursor.objects.waiting().exists())


def test_64_customers_cross_80_and_100_percent_and_the_worker_is_killed_twice(
    customer: Callable[..., Customer], site: Site
) -> None:
    everybody = [with_address(customer(f"c{number}", "community")) for number in range(CLIENTS)]
    site.work_until(is_quiet, kill=False)
    all_at_once([lambda one=one: [call(one, "trace_start") for _ in range(10)] for one in everybody])  # type: ignore[misc]
    drain.drain()
    site.work_until(lambda: len(site.mails) >= 5, kill=True)
    drain.drain()
    site.work_until(lambda: len(site.mails) >= 25, kill=True)
    site.work_until(is_quiet, kill=False)
    by_customer = Counter(to for to, _, _ in site.mails)
    assert set(by_customer) == {one.user.email for one in everybody}
    assert {subject for _, subject, _ in site.mails} == {ALL}, "of two the highest"
    assert ThresholdCrossed.objects.count() == CLIENTS
    assert OutboxMessage.objects.filter(kind=Happened.THRESHOLD_CROSSED).count() == CLIENTS
    assert SentMail.objects.filter(kind=Happened.THRESHOLD_CROSSED, sent_at__isnull=False).count() == CLIENTS
    # Only a process that is killed between the provider's yes and its note sends again, under the same Message-ID.
    sent = Counter(int(message_id[1:].partition(".")[0]) for _, _, message_id in site.mails)
    tries = dict(SentMail.objects.values_list("message_id", "tries"))
    assert len(sent) == CLIENTS
    assert all(count <= tries[message] for message, count in sent.items())


def test_64_clients_of_one_customer_cross_both_while_it_is_told(bob: Customer, site: Site) -> None:
    with_address(bob)
    lift_minute(bob)
    site.work_until(is_quiet, kill=False)
    for _ in range(39):
        assert call(bob, "trace_start").admitted
    drain.drain()
    all_at_once([lambda: call(bob, "trace_start")] * (CLIENTS - 1) + [drain.drain])
    drain.drain()
    site.work_until(lambda: bool(site.mails), kill=True)
    drain.drain()
    site.work_until(is_quiet, kill=False)
    subjects = list({message_id: subject for _, subject, message_id in site.mails}.values())
    assert subjects in ([ALL], [EIGHTY, ALL])
    assert WindowUsage.objects.get(account_id=bob.account).tokens == 500
