"""Why a delivery was not taken, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import WebhookDelivery

ERRORS: Final[Mapping[str, Promise]] = {
    "timeout": _("No whole answer came within 15 seconds."),
    "address": _("The host's address is not public."),
    "unknown_host": _("The host's name was not found."),
    "connection": _("The connection failed, or ended before an answer."),
    "tls": _("The connection is not secure: check the certificate."),
    "form": _("The address may not be used any more. Change it."),
    "secret": _("The secret cannot be read on our side. Rotate it."),
}


def why(delivery: WebhookDelivery) -> str:
    """Empty where the last try had an answer."""
    return str(ERRORS[delivery.error]) if delivery.error in ERRORS else delivery.error
