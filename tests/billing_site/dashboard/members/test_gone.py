"""What a page that is still open, and a link that is still about, do after a switch or a removal: nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from billing.members import membership
from billing.members.membership import NotInvited
from billing.models import Invitation, Member, Plan, Subscription
from billing.models.members import Role
from billing.subscriptions import opening
from tests.billing_site.dashboard.conftest import Person
from tests.billing_site.dashboard.members.test_pages import as_member
from tests.cast import Customer

pytestmark = pytest.mark.django_db
CANCEL = "/dashboard/plans/cancel/"


def mia_with_a_plan(bob: Customer) -> Person:
    """She acts for Bob and has a plan of her own, which is what goes wrong."""
    mia = as_member(bob, Role.OWNER)
    opening.subscribe(mia.user.pk, Plan.objects.get(code="pro"), timezone.now())
    mia.client.handler.enforce_csrf_checks = True
    return mia


def open_form(person: Person, path: str = CANCEL) -> dict[str, str]:
    """The hidden fields of the form that a browser tab holds."""
    form = person.client.get(path).text.rsplit("<main", 1)[1].split("</main>")[0].rsplit("<form", 1)[1]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


def nobody_cancels() -> bool:
    return not Subscription.objects.exclude(cancel_at=None).exists()


def test_a_form_of_the_account_works_while_it_is_chosen(bob: Customer) -> None:
    mia = mia_with_a_plan(bob)
    assert mia.client.post(CANCEL, open_form(mia)).status_code == 302
    assert Subscription.objects.get(account=bob.account).cancel_at is not None


def test_what_a_removed_member_sends_is_not_done_to_their_own_account(bob: Customer) -> None:
    mia = mia_with_a_plan(bob)
    form = open_form(mia)
    membership.remove(bob.account, mia.user.pk)
    answer = mia.client.post(CANCEL, form, follow=True)
    assert "You are no member of that account any more" in answer.text
    assert nobody_cancels()


def test_nor_after_they_have_looked_elsewhere_first(bob: Customer) -> None:
    mia = mia_with_a_plan(bob)
    form = open_form(mia)
    membership.remove(bob.account, mia.user.pk)
    assert "You are no member of that account any more" in mia.client.get("/dashboard/").text
    assert mia.client.post(CANCEL, form).status_code == 403
    assert nobody_cancels()


def test_nor_after_a_switch_in_another_tab(bob: Customer) -> None:
    mia = mia_with_a_plan(bob)
    form = open_form(mia)
    switch = {"account": str(mia.user.pk), "csrfmiddlewaretoken": form["csrfmiddlewaretoken"]}
    assert mia.client.post("/dashboard/members/act-for/", switch).status_code == 302
    assert mia.client.post(CANCEL, form).status_code == 403
    assert nobody_cancels()
    assert mia.client.post(CANCEL, open_form(mia)).status_code == 302, "a form that is drawn anew is taken"


def test_a_removed_member_has_no_link_back(bob: Customer) -> None:
    now, mia = timezone.now(), as_member(bob, Role.OWNER)
    by_her = membership.invite(bob.account, "second@example.com", Role.OWNER, mia.user, now)
    membership.invite(bob.account, "other@example.com", Role.VIEWER, bob.user, now)
    membership.remove(bob.account, mia.user.pk)
    with pytest.raises(NotInvited):
        membership.invitation_of(by_her, now)
    assert [row.email for row in Invitation.objects.all()] == ["other@example.com"]
    assert not Member.objects.exists()


def test_so_many_mails_are_sent_a_day(bob: Customer) -> None:
    there = Person(bob.user)
    for _ in range(membership.MOST_MAILS):
        there.send("members/invite/", email="ann@example.com", role="viewer")
    assert "Try again tomorrow" in there.send("members/invite/", email="ann@example.com", role="viewer")
    assert len(mail.outbox) == membership.MOST_MAILS


def test_a_mail_that_is_not_sent_is_no_error_page(bob: Customer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    page = Person(bob.user).send("members/invite/", email="ann@example.com", role="viewer")
    assert "could not be sent" in page


def test_invitations_that_nobody_accepted_are_forgotten(bob: Customer) -> None:
    now = timezone.now()
    membership.invite(bob.account, "ann@example.com", Role.VIEWER, bob.user, now)
    assert membership.purge(now + timedelta(days=6)) == 0
    assert membership.purge(now + timedelta(days=7)) == 1
