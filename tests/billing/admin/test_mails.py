"""Staff see which mails were sent, wait, or were given up."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.models import SentMail
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


def test_mails_are_listed_by_their_state(superuser: Staff, bob: Customer) -> None:
    now = timezone.now()
    for number, ends in enumerate(({"sent_at": now}, {"given_up_at": now, "error": "550 no such user"}, {})):
        SentMail.objects.create(message_id=number, account=bob.user, kind=f"kind.{number}", first_tried_at=now, **ends)
    for state, number in (("sent", 0), ("given_up", 1), ("waiting", 2)):
        page = superuser.open(f"billing/sentmail/?state={state}").text
        assert [f"kind.{each}" in page for each in range(3)] == [each == number for each in range(3)]
    assert superuser.open("billing/sentmail/?q=bob").text.count("kind.") >= 3
    given_up = SentMail.objects.get(message_id=1)
    assert "550 no such user" in superuser.open(f"billing/sentmail/{given_up.pk}/change/").text
