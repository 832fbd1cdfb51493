"""What there is under /api/v1/, as links."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from billing.http.access import PUBLIC
from billing.http.views import ApiView

LINKS: Final = {
    "plans": "plans",
    "features": "features",
    "models": "models",
    "subscription": "billing-subscription",
    "billing_details": "billing-details",
    "invoices": "billing-invoices",
    "credit_notes": "billing-credit-notes",
    "balance": "billing-balance",
    "payment_methods": "billing-payment-methods",
    "token_packs": "token-packs",
    "coupon": "billing-coupon",
    "keys": "keys",
    "webhooks": "webhooks",
    "usage": "usage-current",
    "usage_breakdown": "usage-breakdown",
    "usage_history": "usage-history",
    "usage_logs": "usage-logs",
    "usage_reservations": "usage-reservations",
    "docs": "docs",
    "schema": "schema",
}
"""Each link's name in the answer, and that of its URL: what can be asked for by GET as it stands."""
INDEX: Final = {
    "type": "object",
    "properties": {name: {"type": "string", "format": "uri"} for name in LINKS},
    "required": list(LINKS),
}


class Index(ApiView):
    """Where to begin: links to what can be read here, and to its documentation."""

    access = PUBLIC

    @extend_schema("getIndex", responses={200: INDEX}, tags=["plans"])
    def get(self, request: Request, **_: Any) -> Response:
        return Response({name: reverse(url, request=request) for name, url in LINKS.items()})
