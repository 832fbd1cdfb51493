"""Saved cards: a customer saves one on the provider's page, chooses the default, removes one.

Rows are written under the lock of the account's `ProviderCustomer`, which is taken after that of its ledger.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from billing.models import PaymentMethod, ProviderCustomer, ProviderEvent
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments.cards.answers import Answer, Answered, Card, HostedPage, Rejected, SetUp, SetUpState
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from billing.postgres.any_of import any_of
from billing.users import User

T = TypeVar("T")
State = PaymentMethod.State
logger = logging.getLogger(__name__)


def methods_of(account: int) -> list[PaymentMethod]:
    """Cards that are saved, the default first, also those that have expired; none while cards are off."""
    return list(saved(account))


def saved(account: int) -> QuerySet[PaymentMethod]:
    """The same as a query."""
    gateway = card_gateway()
    if gateway is None:
        return PaymentMethod.objects.none()
    own = PaymentMethod.objects.filter(account=account, provider=gateway.name, is_live=gateway.is_live)
    return own.exclude(state=State.DETACHED)


def default_method(account: int) -> PaymentMethod | None:
    """What is charged when an invoice is issued. It may have expired: banks often know of the next one."""
    return saved(account).filter(is_default=True).first()


def customer_of(gateway: Gateway, account: int, now: datetime) -> Answer[str]:
    """The account's reference at the provider; made there at its first use. Calls the provider: in no transaction."""
    ours = ProviderCustomer.objects.filter(account=account, provider=gateway.name, is_live=gateway.is_live)
    if (row := ours.filter(forget_at=None).first()) is not None:
        return Answered(row.reference)
    email = User.objects.values_list("email", flat=True).get(pk=account)
    # With all that is sent: another site's account of this number, or another address, is another request.
    digest = hashlib.sha256(f"{settings.SITE_URL} {email} {ours.count()}".encode()).hexdigest()[:16]
    answer = gateway.create_customer(account, email=email, key=f"customer-{account}-{digest}")
    if isinstance(answer, Answered):
        made = ProviderCustomer(
            account_id=account,
            provider=gateway.name,
            reference=answer.value,
            is_live=gateway.is_live,
            created_at=now,
        )
        ProviderCustomer.objects.bulk_create([made], ignore_conflicts=True)  # somebody else may have been faster
        return Answered(ours.get(forget_at=None).reference)
    return answer


def for_customer(gateway: Gateway, account: int, now: datetime, ask: Callable[[str], Answer[T]]) -> Answer[T]:
    """What the provider answers for the account's customer. One whom it knows no more is made anew, and asked for."""
    customer = customer_of(gateway, account, now)
    answer = ask(customer.value) if isinstance(customer, Answered) else customer
    if isinstance(customer, Answered) and isinstance(answer, Rejected) and answer.is_missing:
        _customer_gone(gateway, account, now)
        customer = customer_of(gateway, account, now)
        return ask(customer.value) if isinstance(customer, Answered) else customer
    return answer


def begin_set_up(
    gateway: Gateway, account: int, now: datetime, *, done_url: str, left_url: str, language: str = ""
) -> Answer[HostedPage]:
    """A page on which a customer saves a card. `{page}` in a URL becomes its reference."""

    def ask(customer: str) -> Answer[HostedPage]:
        return gateway.begin_set_up(customer, done_url=done_url, left_url=left_url, language=language)

    return for_customer(gateway, account, now, ask)


def make_default(account: int, method: int) -> PaymentMethod:
    """Raises PaymentMethod.DoesNotExist."""
    with transaction.atomic():
        row = _locked(account, method)
        if not row.is_default:
            _set_default(row)
    return row


def remove(account: int, method: int, now: datetime) -> None:
    """It is not charged from now on; `forgetting.tell` lets the provider forget it. Raises
    PaymentMethod.DoesNotExist."""
    with transaction.atomic():
        _detach(_locked(account, method), now)


def apply_set_up(gateway: Gateway, set_up: SetUp, now: datetime) -> None:
    """Save the card of a set-up that has succeeded."""
    if set_up.state == SetUpState.SAVED and set_up.card is not None:
        apply_card(gateway, set_up.card, now)


def apply_card(gateway: Gateway, card: Card, now: datetime) -> None:
    """A card as the provider knows it now: new, with another expiry, or detached there. Detached is final."""
    row = PaymentMethod.objects.filter(provider=gateway.name, reference=card.reference).first()
    if not card.customer:
        if row is not None:
            _forgotten_there(row, now)
        return
    owner = ProviderCustomer.objects.filter(provider=gateway.name, reference=card.customer, forget_at=None).first()
    if owner is None:
        logger.info("card %s belongs to nobody here: it is %s's", card.reference, card.customer)
        return
    with transaction.atomic():
        _lock(owner.account_id, gateway)
        row = PaymentMethod.objects.filter(provider=gateway.name, reference=card.reference).first()
        if row is None:
            _save(owner, card, now)
        elif row.state != State.DETACHED and (row.exp_year, row.exp_month) != (card.exp_year, card.exp_month):
            row.brand, row.last4, row.fingerprint = card.brand[:20], card.last4, card.fingerprint[:50]
            row.exp_year, row.exp_month = card.exp_year, card.exp_month
            row.save()


def forget_account(account: int, now: datetime) -> None:
    """Of an account that is erased: its cards are charged no more, and providers are to forget it. In a transaction."""
    for row in PaymentMethod.objects.select_for_update().filter(account=account).exclude(state=State.DETACHED):
        row.is_default, row.state, row.detached_at = False, State.DETACHED, now
        row.save()
    customers = ProviderCustomer.objects.filter(account=account)
    ours = [*customers.values_list("reference", flat=True)]
    ours += PaymentMethod.objects.filter(account=account).values_list("reference", flat=True)
    told = ProviderEvent.objects.exclude(state=ProviderEvent.State.DONE)  # of the others it is gone
    told.filter(Q(payload__data__object__customer__in=ours) | Q(object_reference__in=ours)).update(payload={})
    customers.filter(forget_at=None).update(forget_at=now)


def accounts_with_a_card(at: Mapping[int, datetime]) -> Collection[int]:
    """As BILLING_HAS_PAYMENT_METHOD wants it. A card that had expired is none."""
    gateway = card_gateway()
    if gateway is None:
        return frozenset()
    rows: Iterable[PaymentMethod] = PaymentMethod.objects.filter(
        any_of("account", at), provider=gateway.name, is_live=gateway.is_live
    )
    return {row.account_id for row in rows if _was_usable(row, at[row.account_id])}


def _customer_gone(gateway: Gateway, account: int, now: datetime) -> None:
    """The provider knows the customer no more, as when its staff have deleted it; the cards went with it."""
    logger.error("the provider knows the customer of account %s no more; another one is made", account)
    with transaction.atomic():
        _lock(account, gateway)
        for row in saved(account).order_by("is_default"):
            _detach(row, now)
            PaymentMethod.objects.filter(pk=row.pk).update(provider_told_at=now)
        ours = ProviderCustomer.objects.filter(account=account, provider=gateway.name, is_live=gateway.is_live)
        ours.filter(forget_at=None).update(forget_at=now, forgotten_at=now)


def _was_usable(row: PaymentMethod, at: datetime) -> bool:
    detached = row.detached_at is not None and row.detached_at <= at
    return row.created_at <= at and not detached and not row.has_expired(at.astimezone(UTC))


def _lock(account: int, gateway: Gateway) -> None:
    rows = ProviderCustomer.objects.filter(account=account, provider=gateway.name, is_live=gateway.is_live)
    list(rows.select_for_update(no_key=True))


def _locked(account: int, method: int) -> PaymentMethod:
    """One that is saved. Raises PaymentMethod.DoesNotExist."""
    gateway = card_gateway()
    if gateway is None:
        raise PaymentMethod.DoesNotExist
    _lock(account, gateway)
    return saved(account).get(pk=method)


def _save(owner: ProviderCustomer, card: Card, now: datetime) -> None:
    account = owner.account_id
    row = PaymentMethod.objects.create(
        account_id=account,
        provider=owner.provider,
        reference=card.reference,
        is_live=owner.is_live,
        brand=card.brand[:20],
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        fingerprint=card.fingerprint[:50],
        is_default=not saved(account).filter(is_default=True).exists(),
        created_at=min(card.created_at or now, now),
    )
    record(Happened.PAYMENT_METHOD_SAVED, account, method=row.pk)


def _set_default(row: PaymentMethod) -> None:
    for former in PaymentMethod.objects.filter(account=row.account_id, is_live=row.is_live, is_default=True):
        former.is_default = False
        former.save(update_fields=["is_default"])
    row.is_default = True
    row.save(update_fields=["is_default"])
    record(Happened.PAYMENT_METHOD_DEFAULT_SET, row.account_id, method=row.pk)


def _forgotten_there(row: PaymentMethod, now: datetime) -> None:
    """Detached at the provider: by its staff, or since it was asked to."""
    with transaction.atomic():
        list(ProviderCustomer.objects.select_for_update(no_key=True).filter(account=row.account_id))
        row.refresh_from_db()
        if row.state != State.DETACHED:
            _detach(row, now)
        if row.provider_told_at is None:
            PaymentMethod.objects.filter(pk=row.pk).update(provider_told_at=now)


def _detach(row: PaymentMethod, now: datetime) -> None:
    """The newest of the others becomes the default, one that has not expired before one that has."""
    was_default = row.is_default
    row.is_default, row.state, row.detached_at = False, State.DETACHED, now
    row.save()
    record(Happened.PAYMENT_METHOD_REMOVED, row.account_id, method=row.pk)
    others = PaymentMethod.objects.filter(account=row.account_id, provider=row.provider, is_live=row.is_live)
    left = sorted(others.exclude(state=State.DETACHED), key=lambda each: (not each.has_expired(now), each.pk))
    if was_default and left:
        _set_default(left[-1])
