"""Erasing what names a person, while the ledger stays. Each step can be done again, so a kill costs nothing.

First the account is shut: nobody calls, logs in or is billed any more, so nothing new comes in behind the steps. Last
the user's own row is emptied, in one transaction with what says that it has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.sessions.models import Session
from django.db import transaction

from billing.erasure import columns
from billing.erasure.erasers import erasers
from billing.fence.fenced import push_on_commit
from billing.models import ApiKey, CreditNote, Erasure, Invitation, Invoice, Member, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments.cards import methods
from billing.rules.refused import Refused
from billing.subscriptions import changes
from billing.subscriptions.period_end import renewal
from billing.subscriptions.refusals import NoSubscription
from billing.users import User, name_field

SESSIONS_AT_ONCE = 1_000


class ErasureRefused(Refused):
    """Nothing was done."""


class ErasesNoStaff(ErasureRefused):
    """Parameter: the `account`."""

    code = "erases_no_staff"


class OpenInvoices(ErasureRefused):
    """Something is due. Parameter: the numbers of the `invoices`."""

    code = "open_invoices"


class ErasureWaits(Refused):
    """It was begun and cannot be finished now. Parameter: `why`."""

    code = "erasure_waits"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an erasure meets: for who is asked whether to do it."""

    goes: dict[str, int]
    """How many rows of each kind lose what names the person, or are deleted."""
    invoices: int
    credit_notes: int
    due: tuple[Invoice, ...]


def holdings(account: int) -> Holdings:
    goes = columns.held(account)
    for eraser in erasers():
        goes |= eraser.held(account)
    return Holdings(
        goes,
        Invoice.objects.filter(account=account).count(),
        CreditNote.objects.filter(account=account).count(),
        tuple(Invoice.objects.due().filter(account=account)),
    )


def erase(account: int, now: datetime, asked_by: int | None = None, *, with_open_invoices: bool = False) -> Erasure:
    """Shut the account, end its subscription without a credit, and erase what names the person.

    What is due stays due. Never call it within a transaction. Raises ErasesNoStaff, OpenInvoices unless that was
    agreed to, UnderReview for a parked subscription, User.DoesNotExist; and ErasureWaits where it is begun, and
    `go_on` has to finish it.
    """
    return go_on(begin(account, now, asked_by, with_open_invoices=with_open_invoices), now)


def begin(account: int, now: datetime, asked_by: int | None = None, *, with_open_invoices: bool = False) -> Erasure:
    """Shut the account. Begun before, and not finished, it is the same erasure. Raises as `erase`."""
    with transaction.atomic():
        Subscription.objects.lock_all_of(account)
        user = User.objects.select_for_update(no_key=True).get(pk=account)
        if user.is_staff or user.is_superuser:
            raise ErasesNoStaff(account=str(user))
        due = [str(invoice) for invoice in Invoice.objects.due().filter(account=account)]
        if due and not with_open_invoices:
            raise OpenInvoices(invoices=due)
        user.is_active = False
        user.set_unusable_password()
        user.save(update_fields=["is_active", "password"])
        for key in ApiKey.objects.filter(account=account, revoked=False):
            key.revoke()
        _end_subscription(account, now)
        methods.forget_account(account, now)
        push_on_commit(account)
        erasure, _ = Erasure.objects.get_or_create(
            account_id=account, finished_at=None, defaults={"asked_by_id": asked_by, "began_at": now}
        )
    return erasure


def go_on(erasure: Erasure, now: datetime) -> Erasure:
    """Do what is left of it. Raises ErasureWaits."""
    account = erasure.account_id
    _delete_sessions(account)
    username = User.objects.values_list(name_field(), flat=True).get(pk=account)
    for eraser in erasers():
        eraser.erase(account, username)
    with transaction.atomic():
        Subscription.objects.lock_all_of(account)
        held = Erasure.objects.select_for_update().get(pk=erasure.pk)
        if held.finished_at is not None:
            return held
        columns.forget_in_admin_log(account)  # by rows that may be deleted next
        columns.empty(account)
        _empty_user(User.objects.select_for_update().get(pk=account))
        held.finished_at = now
        held.save(update_fields=["finished_at"])
        record(Happened.ACCOUNT_ERASED, account, erasure=held.pk)
    return held


def _end_subscription(account: int, now: datetime) -> None:
    """Nothing follows it, as its user is deactivated."""
    try:
        renewal.end(changes.locked(account, now), now)
    except NoSubscription:
        return


def _delete_sessions(account: int) -> None:
    """A session says whose it is within its text."""
    own = [
        session.pk
        for session in Session.objects.iterator(SESSIONS_AT_ONCE)
        if session.get_decoded().get("_auth_user_id") == str(account)
    ]
    Session.objects.filter(pk__in=own).delete()


def _leave_other_accounts(user: User) -> None:
    Member.objects.filter(user=user).delete()
    if user.email:
        Invitation.objects.filter(email=user.email.lower()).delete()


def _as_name(name: str) -> str:
    """The name as the user model takes it: an address at a host that exists nowhere, where the model goes by e-mail."""
    return f"{name}@erased.invalid" if name_field() == "email" else name


def _empty_user(user: User) -> None:
    _leave_other_accounts(user)
    name = f"{columns.NAMELESS}-{user.pk}"
    while User.objects.filter(**{name_field(): _as_name(name)}).exclude(pk=user.pk).exists():
        name += "-"
    kept = {field.name for field in User._meta.get_fields()}
    for field in {"username", "email", "first_name", "last_name"} & kept:
        setattr(user, field, "")
    setattr(user, name_field(), _as_name(name))
    user.last_login = None
    user.save()
    user.groups.clear()
    user.user_permissions.clear()
