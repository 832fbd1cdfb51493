"""What roles may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from billing.models import Member
from billing.models.members import Role


class Right(StrEnum):
    """What a page asks of who looks at it."""

    SEE = "see"
    DEVELOP = "develop"
    """Keys."""
    BILL = "bill"
    """Plans, packs, coupons, billing details, payments."""
    OWN = "own"
    """Members."""


RIGHTS: Final[Mapping[str, frozenset[Right]]] = {
    Role.OWNER: frozenset(Right),
    Role.BILLING: frozenset({Right.SEE, Right.BILL}),
    Role.DEVELOPER: frozenset({Right.SEE, Right.DEVELOP}),
    Role.VIEWER: frozenset({Right.SEE}),
}


def rights_of(user: int, account: int) -> frozenset[Right]:
    """What a user may do for an account; nothing for a stranger."""
    if user == account:
        return frozenset(Right)
    role = Member.objects.filter(account=account, user=user, account__is_active=True).values_list("role", flat=True)
    return RIGHTS[role[0]] if role else frozenset()
