"""Deleting users of whom nothing has to stay: who never bought and never called, with keys and free subscriptions."""

from __future__ import annotations

from django.db import transaction
from django.db.models import ProtectedError
from django.db.models.deletion import Collector

from billing.erasure import columns
from billing.erasure.erasers import erasers
from billing.fence.fenced import push_on_commit
from billing.models import BalanceEntry, BillingPeriod, Erasure, Invoice, Subscription, TokenPackPurchase, WindowOverage
from billing.rules.refused import Refused
from billing.users import User


class NotDeletable(Refused):
    """Something has to stay. Parameter: the `account`. Its code says what: `has_bought`, `was_erased`, or `is_named` in
    rows of the kinds `what`."""


def check_deletable(user: User) -> None:
    """Raises NotDeletable, and what the modules of ACCOUNT_ERASERS raise."""
    if Erasure.objects.filter(account=user).exists():
        raise NotDeletable("was_erased", account=str(user))
    if any(kind.objects.filter(account=user).exists() for kind in (Invoice, BalanceEntry, TokenPackPurchase)):
        raise NotDeletable("has_bought", account=str(user))
    for eraser in erasers():
        eraser.check_deletable(user.pk)
    if named := _protecting(user):
        raise NotDeletable("is_named", account=str(user), what=sorted(named))


def _protecting(user: User) -> set[str]:
    """Kinds of other rows that keep their users: what staff did, or models of a host product."""
    try:
        Collector("default").collect([user])
    except ProtectedError as error:
        kinds = {type(row) for row in error.protected_objects} - {Subscription, WindowOverage}
        return {str(kind._meta.verbose_name_plural) for kind in kinds}
    return set()


def delete_user(user: User) -> None:
    """Delete the user with keys, exceptions and subscriptions that were never billed. Raises as `check_deletable`."""
    with transaction.atomic():
        # A call or a purchase at this moment waits for these, and finds no user then.
        Subscription.objects.lock_all_of(user.pk)
        list(User.objects.select_for_update().filter(pk=user.pk))
        check_deletable(user)
        columns.forget_in_admin_log(user.pk)
        columns.empty(user.pk)  # histories outlive their rows
        WindowOverage.objects.filter(account=user).delete()  # of unused windows
        BillingPeriod.objects.filter(subscription__account=user).delete()
        Subscription.objects.filter(account=user).delete()
        push_on_commit(user.pk)
        user.delete()
