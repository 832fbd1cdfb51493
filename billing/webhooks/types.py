"""The types of messages, and the `data` of each: what is sent, and what the OpenAPI document says of it."""

from __future__ import annotations

from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from billing.http.fields import MoneyField, TimeField
from billing.models import ApiKey, Invoice, Subscription

PING: Final = "ping"
CHANGES: Final = ("opened", "plan_changed", "schedule_applied", "cancel_scheduled", "cancel_withdrawn", "ended")


class Data(serializers.Serializer[Any]):
    """What every message has in its `data`."""

    id = serializers.CharField(help_text="Of the thing that the message is about.")
    version = serializers.IntegerField(
        help_text="Grows with each message about the same thing: leave out one that is lower than what you have seen."
    )
    account = serializers.IntegerField(
        allow_null=True, help_text="Whose it is. Null: of a ping to the operator's endpoint."
    )


class SubscriptionChangedData(Data):
    """The plan of an account has changed, or how its subscription goes on."""

    change = serializers.ChoiceField(CHANGES)
    plan = serializers.CharField(help_text="The plan's code; of `ended`, the plan that has ended.")
    previous_plan = serializers.CharField(allow_null=True, help_text="Of `plan_changed` and `schedule_applied`.")
    status = serializers.ChoiceField([str(status) for status in Subscription.Status])
    cancel_at = TimeField(allow_null=True, help_text="It ends here instead of being renewed.")


class DowngradeScheduledData(Data):
    """A lower plan, or one that can only follow then, is scheduled for the end of the period."""

    plan = serializers.CharField(help_text="The plan in force.")
    target_plan = serializers.CharField()
    effective_at = TimeField(allow_null=True, help_text="Null: it was taken back, or has happened, since.")


class DowngradeCanceledData(Data):
    """The scheduled plan is not going to follow: the present one goes on."""

    plan = serializers.CharField(help_text="The plan in force.")
    target_plan = serializers.CharField(help_text="The one that was scheduled.")


class PastDueBeganData(Data):
    """Nothing more is tried by itself to get an invoice paid."""

    plan = serializers.CharField(allow_null=True, help_text="Null: the account has no subscription any more.")
    invoice = serializers.CharField(help_text="The invoice's number.")
    past_due_since = TimeField()
    pauses_at = TimeField(
        allow_null=True, help_text="From then on the default plan is served, until it is paid. Null: never."
    )


class InvoiceData(Data):
    """An invoice as it is when the message is made; `GET /api/v1/billing/invoices/{id}` has its lines."""

    number = serializers.CharField()
    status = serializers.ChoiceField([str(status) for status in Invoice.Status if status is not Invoice.Status.DRAFT])
    currency = serializers.CharField()
    net = MoneyField()
    tax = MoneyField()
    total = MoneyField()
    amount_due = MoneyField()
    issued_at = TimeField()
    due_at = TimeField(allow_null=True)


class PaymentFailedData(Data):
    """A card was declined."""

    invoice = serializers.CharField(help_text="The invoice's number.")
    amount = MoneyField()
    currency = serializers.CharField()
    decline_code = serializers.CharField(allow_blank=True, help_text="The bank's reason.")
    next_try_at = TimeField(allow_null=True, help_text="Null: nothing more is tried by itself.")


class PaymentActionRequiredData(Data):
    """The bank wants the customer to confirm a payment."""

    invoice = serializers.CharField(help_text="The invoice's number.")
    amount = MoneyField()
    currency = serializers.CharField()
    url = serializers.URLField(help_text="Where the customer confirms it, after log-in.")


class ThresholdReachedData(Data):
    """A part of the quota is used, or all of what is sold above it."""

    limit = serializers.ChoiceField(["included", "cap"], help_text="The quota, or what is sold above it as well.")
    percent = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="The limit's.")
    used = serializers.IntegerField()
    window_ends_at = TimeField()


class KeyData(Data):
    """An API key; the key itself is never sent."""

    name = serializers.CharField()
    prefix = serializers.CharField(help_text="What the key begins with.")
    scope = serializers.ChoiceField(ApiKey.Scope.values)
    expires_at = TimeField(allow_null=True)
    replaces = serializers.CharField(allow_null=True, help_text="The `id` of the key that was rotated.")


class PingData(Data):
    """Sent when somebody asks for it, to see whether messages arrive."""


TYPES: Final[dict[str, type[Data]]] = {
    "subscription.changed": SubscriptionChangedData,
    "subscription.downgrade_scheduled": DowngradeScheduledData,
    "subscription.downgrade_canceled": DowngradeCanceledData,
    "subscription.past_due": PastDueBeganData,
    "invoice.issued": InvoiceData,
    "invoice.paid": InvoiceData,
    "invoice.reversed": InvoiceData,
    "payment.failed": PaymentFailedData,
    "payment.action_required": PaymentActionRequiredData,
    "usage.threshold_reached": ThresholdReachedData,
    "api_key.created": KeyData,
    "api_key.revoked": KeyData,
    PING: PingData,
}
"""In the order in which they are shown."""
MEANINGS: Final[dict[str, Promise]] = {
    "subscription.changed": _("A plan began, changed or ended, or is going to end."),
    "subscription.downgrade_scheduled": _("Another plan follows at the end of the period."),
    "subscription.downgrade_canceled": _("The scheduled plan does not follow."),
    "subscription.past_due": _("An invoice is past due: nothing more is tried by itself."),
    "invoice.issued": _("An invoice was issued."),
    "invoice.paid": _("An invoice is settled; also right after it was issued, where nothing was due."),
    "invoice.reversed": _("An invoice that was paid is due again, as money was taken back."),
    "payment.failed": _("A card was declined."),
    "payment.action_required": _("The bank wants the customer to confirm a payment."),
    "usage.threshold_reached": _("80 or 100 % of the quota are used, or another part that was set."),
    "api_key.created": _("An API key was made, also in the place of one that was rotated."),
    "api_key.revoked": _("An API key was revoked, or replaced without an overlap."),
    PING: _("Sent when somebody asks for it."),
}
SUBSCRIBABLE: Final = tuple(name for name in TYPES if name != PING)
"""Those that an endpoint chooses from; a ping goes to every endpoint."""
