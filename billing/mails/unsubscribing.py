"""The link in a notice with which its reader ends them, without a log-in (RFC 8058)."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core import signing

from billing.models import Preferences
from billing.users import User

SALT: Final = "billing.mails.unsubscribe"
PATH: Final = "/dashboard/unsubscribe/{}/"


def address(user: int) -> str:
    """It holds as long as SECRET_KEY, or its SECRET_KEY_FALLBACKS, do: a mail may be read years later."""
    return settings.SITE_URL + PATH.format(signing.Signer(salt=SALT).sign(str(user)))


def reader_of(token: str) -> User | None:
    """Whom the link was sent to; None of a link that this site has not made, or of somebody who is gone."""
    try:
        user = int(signing.Signer(salt=SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        return None
    return User.objects.filter(pk=user, is_active=True).first()


def set_notices(user: int, *, wanted: bool) -> None:
    """Whether the user gets notices from now on. Twice is as good as once."""
    Preferences.objects.update_or_create(user_id=user, defaults={"notices": wanted})
