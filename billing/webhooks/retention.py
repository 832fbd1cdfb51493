"""How long messages and deliveries are kept, and what is put right about secrets meanwhile."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection

from billing.models import WebhookEndpoint
from billing.webhooks.secrets import SecretLost, encrypted_anew

logger = logging.getLogger(__name__)
BATCH: Final = 5_000
# What is still tried stays: it ends by itself within two days, and is older than these only after it was sent again.
DELETE = """
WITH old AS MATERIALIZED (
    SELECT id FROM billing_webhookmessage AS message WHERE created_at < %s AND NOT EXISTS (
        SELECT FROM billing_webhookdelivery AS delivery
        WHERE delivery.message_id = message.id AND delivery.state = 'pending'
    ) ORDER BY created_at LIMIT %s
), deliveries AS (
    DELETE FROM billing_webhookdelivery WHERE message_id IN (SELECT id FROM old)
)
DELETE FROM billing_webhookmessage WHERE id IN (SELECT id FROM old)
"""


def purge(now: datetime) -> int:
    """Delete messages older than WEBHOOKS_KEPT_DAYS, with their deliveries; returns how many messages."""
    cutoff, total = now - timedelta(days=settings.WEBHOOKS_KEPT_DAYS), 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(DELETE, [cutoff, BATCH])
            deleted = int(cursor.rowcount)
            total += deleted
            if deleted < BATCH:
                return total


def renew_secrets(now: datetime) -> int:
    """Encrypt secrets under the present SECRET_KEY, and forget former ones whose time is over.

    Returns how many can be read no more: they were made under a SECRET_KEY that is not in SECRET_KEY_FALLBACKS.
    """
    WebhookEndpoint.objects.filter(previous_until__lte=now).update(previous_secret="", previous_until=None)
    lost = 0
    for row in WebhookEndpoint.objects.order_by("pk").iterator():
        try:
            anew = {"secret": encrypted_anew(row.secret)}
            if row.previous_secret:
                anew["previous_secret"] = encrypted_anew(row.previous_secret)
        except SecretLost:
            lost += 1
            continue
        # Unless it was rotated since it was read.
        unchanged = WebhookEndpoint.objects.filter(pk=row.pk, secret=row.secret, previous_secret=row.previous_secret)
        if anew["secret"] != row.secret or anew.get("previous_secret", "") != row.previous_secret:
            unchanged.update(**anew)
    if lost:
        logger.error("the secrets of %d webhook endpoints cannot be read: is a SECRET_KEY_FALLBACKS missing?", lost)
    return lost
