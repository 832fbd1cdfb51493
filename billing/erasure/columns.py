"""Which columns name a person, and what becomes of them. A new model is added here, or a test says that it is missing.

Every column of text of every model is decided: emptied, deleted with its row, or kept with the reason. Models of other
packages are decided in the modules that ACCOUNT_ERASERS names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet, TextField
from django.db.models.functions import Cast

NAMELESS = "erased"
OWNER = "account"
"""Of a row that is a customer's: the field of that name points at the user."""


class Columns(NamedTuple):
    """Columns of a model, each with what stands there afterwards."""

    owner: str
    """The field that holds the account."""
    after: Mapping[str, Any]


EMPTIED: dict[str, Columns] = {
    "billing.ApiKey": Columns(OWNER, {"name": NAMELESS}),
    "billing.Subscription": Columns(OWNER, {"cancel_reason": ""}),
    "billing.LimitOverride": Columns(OWNER, {"reason": ""}),
    "billing.HistoricalLimitOverride": Columns(OWNER, {"reason": "", "history_change_reason": None}),
    "billing.TokenTopUp": Columns(OWNER, {"reason": ""}),
    "billing.HistoricalTokenTopUp": Columns(OWNER, {"reason": "", "history_change_reason": None}),
    "billing.OutboxCursor": Columns(OWNER, {"error": ""}),
    "billing.PaymentMethod": Columns(OWNER, {"last4": "", "fingerprint": "", "brand": ""}),
    "billing.SentMail": Columns(OWNER, {"address": "", "error": ""}),
}
DELETED: dict[str, str] = {
    "billing.StoredResponse": OWNER,
    "billing.AccountNote": OWNER,
    "billing.BillingDetails": OWNER,
    "billing.Preferences": "user",
    "billing.Invitation": OWNER,
    "billing.Member": OWNER,
    "billing.KnownPlace": OWNER,
    "billing.MailboxMessage": OWNER,
    "billing.WebhookEndpoint": OWNER,
    "billing.WebhookMessage": OWNER,
}
"""Models whose rows go, with the field that holds the account."""
BY_THEMSELVES = {
    "auth.User": "username, names and e-mail; by erase.py, last of all",
    "sessions.Session": "deleted by erase.py, which reads whose each is",
    "billing.WebhookDelivery": "with its message, whoever got it, and with its endpoint",
    "admin.LogEntry": "what was done to the account's rows loses its text; who did it, and when, stays",
}
KEPT: dict[str, str] = {
    "billing.Invoice": "part of the ledger, which the law wants kept, with the buyer as he was named",
    "billing.InvoiceLine": "part of the ledger",
    "billing.InvoiceTax": "part of the ledger",
    "billing.CreditNote": "part of the ledger; its reason stands on the document",
    "billing.Payment": "part of the ledger; the reference finds the money at the bank",
    "billing.MoneyIn": "part of the ledger; the reference finds the money at the bank",
    "billing.Reversal": "part of the ledger",
    "billing.Refund": "part of the ledger; the reference finds the money at the bank",
    "billing.PaymentAttempt": "part of the ledger; the reference finds the money at the provider",
    "billing.PastDue": "dates",
    "billing.Dispute": "part of the ledger; the reference finds it at the provider",
    "billing.BalanceEntry": "part of the ledger",
    "billing.BillingPeriod": "what was sold, for the ledger",
    "billing.WindowOverage": "what of it was billed, for the ledger",
    "billing.ProviderCustomer": "a provider's number, by which it is told to forget the name and e-mail that it has",
    "billing.ProviderEvent": "codes and a provider's numbers; what it said is emptied by forget_account",
    "billing.ProviderPoll": "names nobody",
    "billing.DocumentNumber": "names nobody",
    "billing.Chain": "the operator's; a public ledger",
    "billing.ChainCheckpoint": "hashes of a public ledger",
    "billing.Token": "the operator's catalogue",
    "billing.DepositKey": "the operator's, and public",
    "billing.DepositAddress": "part of the ledger: money may still come to it; it is the operator's own",
    "billing.PaymentRequest": "part of the ledger",
    "billing.ChainTransfer": "part of the ledger, and of a public one that nobody can erase",
    "billing.SeenTransfer": "as the transfers; gone with the next look",
    "billing.TransferCredit": "part of the ledger",
    "billing.CryptoRefund": "part of the ledger; the address is where the money went",
    "billing.BulkMove": "why staff moved many; names nobody of them",
    "billing.BulkMoveItem": "codes",
    "billing.OutboxMessage": "ids and codes, by its own rule",
    "billing.Plan": "the operator's catalogue",
    "billing.HistoricalPlan": "the operator's catalogue",
    "billing.HistoricalPlan_capabilities": "the operator's catalogue",
    "billing.Coupon": "the operator's catalogue",
    "billing.HistoricalCoupon": "the operator's catalogue",
    "billing.HistoricalCoupon_plans": "the operator's catalogue",
    "billing.Capability": "the operator's catalogue",
    "billing.Feature": "the operator's catalogue",
    "billing.HistoricalFeature": "the operator's catalogue",
    "billing.ModelPrice": "the operator's catalogue",
    "billing.Route": "the operator's catalogue",
    "billing.HistoricalRoute": "the operator's catalogue",
    "billing.Seller": "the operator",
    "billing.HistoricalSeller": "the operator",
    "billing.TaxRate": "the operator's catalogue",
    "billing.HistoricalTaxRate": "the operator's catalogue",
    "billing.TokenPack": "the operator's catalogue",
    "billing.HistoricalTokenPack": "the operator's catalogue",
    "auth.Group": "staff's rights",
    "auth.Permission": "staff's rights",
    "contenttypes.ContentType": "Django's own",
    "rest_framework_api_key.APIKey": "stays empty: keys are billing.ApiKey",
}
"""Models whose other columns of text stay, with the reason."""
LEDGER = ("billing.Invoice", "billing.CreditNote", "billing.BalanceEntry", "billing.MoneyIn", "billing.Refund")
"""What staff noted in the admin about these stays with them."""


def held(
    account: int, emptied: Mapping[str, Columns] = EMPTIED, deleted: Mapping[str, str] = DELETED
) -> dict[str, int]:
    """How many rows of each kind `empty` would touch; kinds with none are left out."""
    owners = {label: columns.owner for label, columns in emptied.items()} | dict(deleted)
    counts = {label: _rows(label, owner, account).count() for label, owner in owners.items()}
    return {str(apps.get_model(label)._meta.verbose_name_plural): count for label, count in counts.items() if count}


def empty(account: int, emptied: Mapping[str, Columns] = EMPTIED, deleted: Mapping[str, str] = DELETED) -> None:
    """Done again it changes nothing more."""
    for label, columns in emptied.items():
        _rows(label, columns.owner, account).update(**columns.after)
    for label, owner in deleted.items():
        _rows(label, owner, account).delete()


def forget_in_admin_log(account: int) -> None:
    """What was done in the admin to the account and its rows keeps who, when and how, and loses its text."""
    for model in apps.get_models():
        own = getattr(model, "instance_type", model)  # of a history, what it is the history of
        if own._meta.label in LEDGER:
            continue
        pk = own._meta.pk.attname
        if model is _user_model():
            rows = _base(model).filter(pk=account)
        elif any(field.name == OWNER and field.related_model is _user_model() for field in model._meta.fields):
            rows = _base(model).filter(**{OWNER: account})
        else:
            continue
        entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(own))
        ids = rows.order_by().annotate(as_text=Cast(pk, TextField())).values("as_text")
        entries.filter(object_id__in=ids).update(object_repr=NAMELESS, change_message="")


def _user_model() -> type[Model]:
    from django.contrib.auth import get_user_model

    return get_user_model()


def _rows(label: str, owner: str, account: int) -> QuerySet[Any]:
    return _base(apps.get_model(label)).filter(**{owner: account})


def _base(model: type[Model]) -> QuerySet[Any]:
    return model._base_manager.all()
