"""`POST /payments/{provider}/webhook`: an event is checked and kept, and the provider need not wait for more."""

from __future__ import annotations

import logging
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from billing.http.access import Access, declares
from billing.payments.cards import events
from billing.payments.cards.answers import BadEvent
from billing.payments.cards.configured import card_gateway
from billing.tasks import process_provider_event

SIGNED: Final = Access(ungated=True)
"""The signature says who it is from; no account is charged for it."""
SIGNATURES: Final = {"stripe": "HTTP_STRIPE_SIGNATURE"}
logger = logging.getLogger(__name__)


@declares(SIGNED)
@csrf_exempt
@require_POST
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """200 once it is kept, also when it was told before. 400 for what is forged, old, or of the other mode."""
    gateway = card_gateway()
    if gateway is None or gateway.name != provider:
        return _said(404, "No such provider of payments is set up here.")
    try:
        event = gateway.parse_event(request.body, request.META.get(SIGNATURES[provider], ""))
        row = events.keep(gateway, event, timezone.now())
    except RequestDataTooBig:
        return _said(413, "It is too large.")
    except UnreadablePostError:
        return _said(400, "It ended early.")
    except BadEvent as error:
        logger.warning("an event of %s is refused: %s", provider, error)
        return _said(400, f"Refused: {error}.")
    if row is not None:
        try:
            process_provider_event.apply_async((row.pk,), retry=False)
        except OperationalError as error:
            logger.warning("no task for %s: %s; the sweep takes it", row, error)
    return _said(200, "Kept.")


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain")
