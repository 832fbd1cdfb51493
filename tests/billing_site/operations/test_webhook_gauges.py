"""What /metrics says of webhooks."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing_site.operations.webhooks import gauges
from tests.billing.webhooks.conftest import debug, receiver
from tests.billing.webhooks.telling import listen, told, try_next
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

__all__ = ["debug", "receiver"]
pytestmark = pytest.mark.django_db


def read() -> dict[str, float]:
    return {
        "_".join([sample.name, *sample.labels.values()]): sample.value
        for metric in gauges(timezone.now())
        for sample in metric.samples
    }


def test_endpoints_by_state_and_what_waits(alice: Customer, bob: Customer, receiver: Receiver) -> None:
    listen(alice.account, receiver.url)
    listen(bob.account, receiver.url)
    receiver.behave = answering(500)
    told(bob.account)
    try_next()
    found = read()
    assert (found["metered_webhook_endpoints_enabled"], found["metered_webhook_endpoints_failing"]) == (1, 1)
    assert (found["metered_webhooks_waiting"], found["metered_webhooks_overdue_seconds"]) == (1, 0)
    receiver.behave = answering(410)
    told(alice.account)
    try_next()
    found = read()
    assert (found["metered_webhook_endpoints_enabled"], found["metered_webhook_endpoints_stopped"]) == (0, 1)
