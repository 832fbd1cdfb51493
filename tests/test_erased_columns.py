"""Every column of text in every model is decided: what becomes of it when a person is erased."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models

from billing.erasure import columns
from billing_site.accounts import erasure as of_accounts
from usage import erasure

TEXTS = (models.CharField, models.TextField, models.JSONField, models.BinaryField, models.FileField)
WHERE = (columns, erasure, of_accounts)
CODES = {
    "billing.ApiKey": {"id", "prefix", "hashed_key", "scope", "lead"},
    "billing.Subscription": {"status", "parked_because"},
    "billing.LimitOverride": {"limit"},
    "billing.HistoricalLimitOverride": {"limit", "history_type"},
    "billing.HistoricalTokenTopUp": {"history_type"},
    "billing.OutboxCursor": {"consumer"},
    "billing.PaymentMethod": {"provider", "reference", "state"},
    "billing.SentMail": {"kind"},
}
"""Beside what is emptied: codes, hashes, and texts that this software makes of numbers."""


def texts() -> Iterator[tuple[str, str]]:
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_concrete_fields:
            plain = field.base_field if isinstance(field, ArrayField) else field
            if isinstance(plain, TEXTS) and field.remote_field is None:
                yield model._meta.label, field.attname


def is_decided(label: str, column: str) -> bool:
    for module in WHERE:
        emptied = module.EMPTIED.get(label)
        if label in module.DELETED or label in module.KEPT or label in module.BY_THEMSELVES:
            return True
        if emptied is not None and (column in emptied.after or column in CODES.get(label, ())):
            return True
    return False


@pytest.mark.parametrize(("label", "column"), sorted(texts()))
def test_what_becomes_of_it_is_decided(label: str, column: str) -> None:
    assert is_decided(label, column), (
        f"{label}.{column} may name a person: say in billing/erasure/columns.py or usage/erasure.py what becomes of it"
    )


def test_nothing_is_decided_that_is_not_there() -> None:
    known = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    for module in WHERE:
        named = {*module.EMPTIED, *module.DELETED, *module.KEPT, *module.BY_THEMSELVES}
        assert named <= known
