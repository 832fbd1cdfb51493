"""The mail that invites to an account. Its link is a secret that is kept nowhere, so it is sent where it is made."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import gettext as _


def send_invitation(email: str, link: str, by: User) -> None:
    """In the language of who invites. Raises what the e-mail backend raises."""
    words = {"link": link, "name": by.get_full_name() or by.email or by.get_username()}
    subject = " ".join((_("%(name)s invites you to an account") % words).split())
    text, html = (render_to_string(f"mails/invitation.{kind}", words) for kind in ("txt", "html"))
    send_mail(subject, text, None, [email], html_message=html)
