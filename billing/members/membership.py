"""Inviting to an account, accepting, changing and ending a membership."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q

from billing.models import Invitation, Member
from billing.models.members import INVITATION_HOLDS_FOR, Role
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.refused import Refused
from billing.users import User

MOST_MAILS = 20
"""That one account may cause in 24 hours: each goes to somebody who has not asked for it."""
DAY_SECONDS = 86_400
MOST_MEMBERS = 50
"""Of one account, those who were invited included."""


class NotInvited(Refused):
    """The person is not invited or does not become a member, and nothing was changed.

    `reason`: `member` already, `own` address, `many` are members, enough `mails` were sent today; of who accepts:
    `unknown` link, `old`, or another `address` than the `email` that was invited.
    """

    code = "not_invited"


def invite(account: int, email: str, role: Role, by: User, now: datetime) -> str:
    """Invite an address for `INVITATION_HOLDS_FOR`; the secret for the link in its mail, which is kept nowhere.

    An address that is invited again gets a new link, and the old one ends. Raises NotInvited.
    """
    _count_mail(account)
    address, secret = email.strip().lower(), secrets.token_urlsafe(24)
    with transaction.atomic():
        owner = User.objects.select_for_update().get(pk=account)
        if owner.email.lower() == address:
            raise NotInvited(reason="own")
        if Member.objects.filter(account=account, user__email__iexact=address).exists():
            raise NotInvited(reason="member")
        others = Invitation.objects.filter(account=account).exclude(email=address)
        if Member.objects.filter(account=account).count() + others.count() >= MOST_MEMBERS:
            raise NotInvited(reason="many")
        fresh = {"role": role, "token_digest": _digest(secret), "invited_by": by, "created_at": now}
        Invitation.objects.update_or_create(account=owner, email=address, defaults=fresh)
        record(Happened.MEMBER_INVITED, account, role=str(role))
    return secret


def invitation_of(secret: str, now: datetime) -> Invitation:
    """That of a link. Raises NotInvited: `unknown` or `old`."""
    row = Invitation.objects.select_related("account").filter(token_digest=_digest(secret)).first()
    if row is None or not row.account.is_active:
        raise NotInvited(reason="unknown")
    if row.created_at + INVITATION_HOLDS_FOR <= now:
        raise NotInvited(reason="old")
    return row


def accept(secret: str, user: User, now: datetime) -> Member:
    """Make the user a member. The address has to be the one that was invited. Raises NotInvited."""
    with transaction.atomic():
        invited = invitation_of(secret, now)
        invited = Invitation.objects.select_for_update().filter(pk=invited.pk).first() or _gone()
        if user.email.lower() != invited.email:
            raise NotInvited(reason="address", email=invited.email)
        if user.pk == invited.account_id:
            raise NotInvited(reason="own")
        role = {"role": invited.role, "created_at": now, "invited_by": invited.invited_by}
        member, _ = Member.objects.update_or_create(account_id=invited.account_id, user=user, defaults=role)
        invited.delete()
        record(Happened.MEMBER_JOINED, member.account_id, user=user.pk, role=member.role)
    return member


def withdraw(account: int, invitation: int) -> None:
    """End an invitation; its link leads nowhere. Nothing where there is none."""
    with transaction.atomic():
        deleted, _ = Invitation.objects.filter(account=account, pk=invitation).delete()
        if deleted:
            record(Happened.MEMBER_WITHDRAWN, account)


def give_role(account: int, member: int, role: Role) -> None:
    """Another role, from the member's next request on. Nothing where there is none of that number."""
    with transaction.atomic():
        row = Member.objects.select_for_update().filter(account=account, pk=member).first()
        if row is not None and row.role != role:
            row.role = role
            row.save(update_fields=["role"])
            record(Happened.MEMBER_CHANGED, account, user=row.user_id, role=str(role))


def remove(account: int, user: int) -> None:
    """End a membership; the user acts no more on the next request. Nothing where there is none.

    Links that were sent to them or by them end, too: they are ways back.
    """
    with transaction.atomic():
        row = Member.objects.select_for_update().select_related("user").filter(account=account, user=user).first()
        if row is not None:
            theirs = Q(invited_by=user)
            if row.user.email:
                theirs |= Q(email=row.user.email.lower())
            Invitation.objects.filter(theirs, account=account).delete()
            row.delete()
            record(Happened.MEMBER_REMOVED, account, user=user)


def purge(now: datetime) -> int:
    """Delete invitations whose links have ended; returns how many. They name somebody who did not come."""
    return Invitation.objects.filter(created_at__lte=now - INVITATION_HOLDS_FOR).delete()[0]


def _count_mail(account: int) -> None:
    """Before it is sent, so that many at once are not all let through. Raises NotInvited."""
    key = f"invitations:{account}"
    cache.add(key, 0, DAY_SECONDS)
    try:
        sent = cache.incr(key)
    except ValueError:  # it ended in between
        return
    if sent is not None and sent > MOST_MAILS:  # None: the cache is out of reach
        raise NotInvited(reason="mails")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _gone() -> Invitation:
    raise NotInvited(reason="unknown")
