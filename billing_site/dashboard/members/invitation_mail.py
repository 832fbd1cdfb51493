"""The mail that invites to an account. Its link is a secret that is kept nowhere, so it is sent where it is made."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link
from billing.mails.rendering import dressed
from billing.users import User


def send_invitation(email: str, secret: str, owner: User, by: User) -> None:
    """In the language of who invites to the owner's account. Raises what the e-mail backend raises."""
    name = by.get_full_name() or by.email or by.get_username()
    link = Link(_("Join"), reverse("dashboard-join", args=[secret]))
    dressed(Draft("invitation", {"name": name}, link=link), email, about=owner).send()
