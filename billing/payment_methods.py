"""Who has a payment method, as the function that BILLING_HAS_PAYMENT_METHOD names has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.conf import settings
from django.utils.module_loading import import_string


def accounts_with_payment_method(at: Mapping[int, datetime]) -> Collection[int]:
    """Of the accounts, each with an instant, those that had a payment method then; have one now, where it lies ahead.

    Nobody while the setting is empty.
    """
    path = settings.BILLING_HAS_PAYMENT_METHOD
    if not path or not at:
        return frozenset()
    found: Collection[int] = import_string(path)(at)
    return found
