"""The mail that an endpoint of webhooks was disabled because of its answers."""

from __future__ import annotations

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, instant
from billing.models import OutboxMessage, WebhookEndpoint


def disabled(message: OutboxMessage) -> Draft | None:
    """None where it was deleted, or enabled again, meanwhile."""
    row = WebhookEndpoint.objects.filter(pk=message.payload["endpoint"]).first()
    if row is None or row.is_enabled:
        return None
    facts = [(_("Address"), row.url), (_("On"), instant(row.disabled_at or message.recorded_at))]
    if row.failing_since is not None:
        facts.append((_("No answer was good since"), instant(row.failing_since)))
    context = {"url": row.url, "is_gone": message.payload["reason"] == WebhookEndpoint.Reason.GONE}
    path = f"/dashboard/webhooks/{row.pk}/" if row.account_id else f"/admin/billing/webhookendpoint/{row.pk}/change/"
    return Draft("webhook_disabled", context, facts, Link(_("Look at the webhook"), path))
