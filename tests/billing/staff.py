"""Staff at a subscription's page: what they are shown, what they confirm, what they are told."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.utils import timezone
from freezegun import freeze_time

from billing.models import Plan, Subscription
from billing.subscriptions.refusals import ActivityUnknown
from tests.billing.ledger import invoices, pay_in_full
from tests.cast import Staff
from tests.factories import make_subscription

HIDDEN = re.compile(r'<input type="hidden" name="(target|shown_at|digest)" value="([^"]*)">')
IN_USE = "tests.billing.staff.investigator_in_use"
USE_UNKNOWN = "tests.billing.staff.use_unknown"


def on_starter_since_october() -> Subscription:
    """From 2025-10-01 to 2025-11-01, paid."""
    with freeze_time("2025-10-01"):
        subscription = make_subscription(Plan.objects.get(code="starter"), timezone.now())
        pay_in_full(invoices(subscription)[0], timezone.now())
    return subscription


def page(subscription: Subscription, action: str) -> str:
    return f"billing/subscription/{subscription.pk}/{action}/"


def text_of(response: Any) -> str:
    assert response.status_code == 200
    # As it is read: amounts keep their unit with a no-break space.
    return str(response.content.decode()).replace("\N{NO-BREAK SPACE}", " ")


def shown(staff: Staff, subscription: Subscription, target: str) -> dict[str, str]:
    """The confirmation that the preview page offers to send."""
    return confirmation(text_of(staff.open(f"{page(subscription, 'change_plan')}?target={target}")))


def confirmation(text: str) -> dict[str, str]:
    return dict(HIDDEN.findall(text))


def confirm(staff: Staff, subscription: Subscription, fields: dict[str, str], action: str = "change_plan") -> Any:
    return staff.client.post(f"/admin/{page(subscription, action)}", fields, follow=True)


def told(response: Any) -> str:
    """The messages on the page that staff were sent to."""
    return " ".join(str(message) for message in response.context["messages"]).replace("\N{NO-BREAK SPACE}", " ")


def investigator_in_use(account: int, now: datetime) -> set[str]:
    return {"investigator"}


def use_unknown(account: int, now: datetime) -> set[str]:
    raise ActivityUnknown("behind")
