"""Webhooks: who is told of what happened, what they are told, and how each delivery stands."""

from billing.models.webhooks.deliveries import WebhookDelivery, WebhookMessage
from billing.models.webhooks.endpoints import WebhookEndpoint

__all__ = ["WebhookDelivery", "WebhookEndpoint", "WebhookMessage"]
