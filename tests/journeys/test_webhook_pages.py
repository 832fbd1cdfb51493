"""Webhooks' pages in a browser: nothing refused, nothing out of reach, wide and narrow; and with clicks alone, once."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints
from tests.billing.webhooks.conftest import debug, receiver
from tests.billing.webhooks.telling import listen, told, try_next
from tests.cast import Customer, Staff
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.journeys.test_pages import faults_of
from tests.servers.webhooks.receiver import Receiver, answering

__all__ = ["chromium", "debug", "playwright_browser", "receiver"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_every_page_of_webhooks(chromium: Chromium, superuser: Staff, alice: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(500, b"out of order, and a long line of it " * 20)
    new = listen(alice.account, receiver.url + "/a-long-path" * 10)
    delivery = told(alice.account)
    try_next()
    dead = told(alice.account)
    WebhookDelivery.objects.filter(pk=dead.pk).update(state="dead", next_try_at=None, ended_at=timezone.now())
    one = f"/dashboard/webhooks/{new.endpoint.pk}/"
    pages = ["/dashboard/webhooks/", one, *(one + name for name in ("edit/", "rotate/", "delete/"))]
    assert chromium.browse(alice.user, lambda tab: faults_of(tab, pages)) == ""
    lists = ["/admin/billing/webhookendpoint/", "/admin/billing/webhookdelivery/"]
    rows = [f"{lists[0]}{new.endpoint.pk}/", f"{lists[1]}{delivery.pk}/"]
    of_staff = [*lists, *(f"{row}change/" for row in rows), f"{lists[0]}add/", f"{rows[0]}disable/"]
    assert chromium.browse(superuser.user, lambda tab: faults_of(tab, of_staff)) == ""


def test_a_webhook_is_made_tried_and_put_right_by_clicks(
    chromium: Chromium, alice: Customer, receiver: Receiver
) -> None:
    def make(tab: Tab) -> str:
        within = tab.page
        tab.open("/dashboard/webhooks/")
        within.get_by_label("Address").fill(receiver.url)
        within.get_by_label("invoice.paid").check()
        within.get_by_role("button", name="Make the webhook").click()
        within.get_by_role("button", name="Copy the secret").wait_for()
        secret = str(within.locator("#secret").inner_text())
        assert tab.faults() == []
        within.get_by_role("link", name="on to the webhook").click()
        within.get_by_role("button", name="Send a ping").click()
        within.get_by_text("A ping is being sent.").wait_for()
        return secret

    receiver.behave = answering(410)
    secret = chromium.browse(alice.user, make)
    try_next()
    row = WebhookEndpoint.objects.get()
    assert (row.types, row.is_enabled) == (["invoice.paid"], False)

    def put_right(tab: Tab) -> list[Any]:
        within = tab.page
        tab.open(f"/dashboard/webhooks/{row.pk}/")
        within.get_by_text("it answered 410 Gone").wait_for()
        within.get_by_role("button", name="Enable").click()
        within.get_by_role("button", name="Send all of them again").click()
        within.get_by_text("1 message is being sent again.").wait_for()
        return tab.faults()

    receiver.behave = answering(200)
    assert chromium.browse(alice.user, put_right) == []
    try_next()
    assert receiver.got[-1].verified(secret)["type"] == "ping"
    assert endpoints.deliveries_of(row).get().state == "delivered"
