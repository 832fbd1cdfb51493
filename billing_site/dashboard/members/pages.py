"""Members: who acts for an account, inviting, roles, and for whom one acts oneself."""

from __future__ import annotations

import logging

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from billing.members import membership
from billing.members.membership import NotInvited
from billing.members.rights import Right, rights_of
from billing.models import Invitation, Member
from billing.models.members import Role
from billing.users import User
from billing_site.dashboard.access import DashboardRequest, choose_account, dashboard_page
from billing_site.dashboard.forms import back_to, saying_why_not
from billing_site.dashboard.members.invitation_mail import send_invitation
from billing_site.dashboard.sentences import on_page

logger = logging.getLogger(__name__)
MEMBERS = "dashboard-members"
ROLES = [
    (Role.OWNER, gettext_lazy("Owner: everything")),
    (Role.BILLING, gettext_lazy("Billing: plans and invoices")),
    (Role.DEVELOPER, gettext_lazy("Developer: keys and usage")),
    (Role.VIEWER, gettext_lazy("Viewer: looks, changes nothing")),
]


class InviteForm(forms.Form):
    email = forms.EmailField(label=gettext_lazy("E-mail address"), max_length=254)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=ROLES, initial=Role.DEVELOPER)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=ROLES)


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    return _page(request, InviteForm())


def _page(request: DashboardRequest, form: InviteForm) -> HttpResponseBase:
    acting = request.acting
    context = {
        "owner": acting.owner,
        "members": Member.objects.filter(account=acting.account).select_related("user"),
        "invitations": Invitation.objects.filter(account=acting.account),
        "roles": ROLES,
        "form": form,
        "may_own": Right.OWN in acting.rights,
    }
    return render(request, "dashboard/members.html", context)


@require_POST
@dashboard_page(Right.OWN)
def invite(request: DashboardRequest) -> HttpResponseBase:
    acting, form = request.acting, InviteForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    email, role = form.cleaned_data["email"], Role(form.cleaned_data["role"])
    with saying_why_not(request):
        secret = membership.invite(acting.account, email, role, acting.user, acting.now)
        try:
            send_invitation(email, secret, acting.owner, acting.user)
        except OSError:  # as smtplib's are
            logger.exception("an invitation of account %s was not sent", acting.account)
            messages.error(
                request, _("The mail to %(email)s could not be sent. Invite again later.") % {"email": email}
            )
        else:
            messages.success(request, _("A mail to %(email)s is on its way.") % {"email": email})
    return back_to(MEMBERS)


@require_POST
@dashboard_page(Right.OWN)
def withdraw(request: DashboardRequest, invitation: int) -> HttpResponseBase:
    membership.withdraw(request.acting.account, invitation)
    messages.success(request, _("The invitation is withdrawn."))
    return back_to(MEMBERS)


@require_POST
@dashboard_page(Right.OWN)
def role(request: DashboardRequest, member: int) -> HttpResponseBase:
    form = RoleForm(request.POST)
    if form.is_valid():
        membership.give_role(request.acting.account, member, Role(form.cleaned_data["role"]))
        messages.success(request, _("Saved."))
    return back_to(MEMBERS)


@require_POST
@dashboard_page()
def remove(request: DashboardRequest, user: int) -> HttpResponseBase:
    """An owner removes somebody, and anybody leaves."""
    acting = request.acting
    if user != acting.user.pk and Right.OWN not in acting.rights:
        raise PermissionDenied
    membership.remove(acting.account, user)
    if user == acting.user.pk:
        choose_account(request, acting.user.pk)
        messages.success(request, _("You are not a member any more."))
        return back_to("dashboard")
    messages.success(request, _("Removed: the person acts no more from now on."))
    return back_to(MEMBERS)


@dashboard_page()
def join(request: DashboardRequest, secret: str) -> HttpResponseBase:
    """Where the link of a mail leads: log-in or sign-up have come first.

    Whoever was passed the link may have signed up with the address that was invited, so it has to be confirmed.
    """
    acting = request.acting
    try:
        invited = membership.invitation_of(secret, acting.now)
        if acting.user.email.lower() != invited.email:
            raise NotInvited(reason="address", email=invited.email)
        is_confirmed = EmailAddress.objects.filter(
            user=acting.user, email__iexact=invited.email, verified=True
        ).exists()
        if request.method == "POST" and is_confirmed:
            member = membership.accept(secret, acting.user, acting.now)
            choose_account(request, member.account_id)
            messages.success(request, _("You act for %(account)s now.") % {"account": invited.account})
            return back_to("dashboard")
    except NotInvited as refused:
        messages.error(request, on_page(refused))
        return back_to("dashboard")
    context = {"invited": invited, "role": dict(ROLES)[Role(invited.role)], "is_confirmed": is_confirmed}
    return render(request, "dashboard/join.html", context)


@require_POST
@dashboard_page()
def act_for(request: DashboardRequest) -> HttpResponseBase:
    """Another account that one is a member of, or the own one."""
    user, given = request.acting.user, request.POST.get("account", "")
    account = get_object_or_404(User, pk=int(given) if given.isdecimal() and len(given) < 18 else 0).pk
    if not rights_of(user.pk, account):
        raise PermissionDenied
    choose_account(request, account)
    return redirect("dashboard")
