"""From a draft to a mail: text, HTML and headers. What stands in the HTML was escaped once, as all of it is text."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context
from django.template.loader import get_template, render_to_string
from django.utils.translation import get_language

from billing.mails import unsubscribing
from billing.mails.draft import Draft
from billing.models import OutboxMessage
from billing.users import User


def render(draft: Draft, message: OutboxMessage, user: User, to: str, *, is_notice: bool) -> EmailMultiAlternatives:
    """The mail that tells an address of a message about a user. A notice can be unsubscribed from."""
    unsubscribe = unsubscribing.address(user.pk) if is_notice else ""
    mail = dressed(draft, to, about=user, unsubscribe=unsubscribe)
    mail.extra_headers["Message-ID"] = message_id(message)
    if unsubscribe:
        mail.extra_headers["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail.extra_headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return mail


def dressed(draft: Draft, to: str, about: User, unsubscribe: str = "") -> EmailMultiAlternatives:
    """A draft as a mail to an address, in the active language and time zone. `about` is the account it concerns."""
    subject, paragraphs = _texts(draft)
    around: dict[str, Any] = {
        "subject": subject,
        "paragraphs": paragraphs,
        "facts": [(label, _one_line(value)) for label, value in draft.facts],
        "link": (draft.link.label, settings.SITE_URL + draft.link.path) if draft.link else None,
        "account": _one_line(about.get_username()),
        "site": settings.SITE_URL,
        "unsubscribe": unsubscribe,
        "language": get_language(),
    }
    body = _without_escapes("mails/base.txt", around)
    mail = EmailMultiAlternatives(subject, body, to=[to], headers={"Auto-Submitted": "auto-generated"})
    mail.attach_alternative(render_to_string("mails/base.html", around), "text/html")
    for attachment in draft.attachments:
        mail.attach(*attachment)
    return mail


def message_id(message: OutboxMessage) -> str:
    """The same for each try, so that a mail which was sent twice can be told as one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{message.pk}.{int(message.recorded_at.timestamp())}.outbox@{domain}>"


def _texts(draft: Draft) -> tuple[str, list[str]]:
    """The subject, and the paragraphs."""
    context = {name: _one_line(value) if isinstance(value, str) else value for name, value in draft.context.items()}
    subject, _, body = _without_escapes(f"mails/{draft.template}.txt", context).strip().partition("\n")
    return _one_line(subject), [_one_line(part) for part in re.split(r"\n\s*\n", body) if part.strip()]


def _without_escapes(name: str, context: dict[str, Any]) -> str:
    template: Any = get_template(name)  # of Django's engine, as TEMPLATES says
    rendered: str = template.template.render(Context(context, autoescape=False))
    return rendered.strip() + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
