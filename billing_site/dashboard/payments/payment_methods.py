"""Saved cards: listed, added on the provider's page, the default chosen, removed."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing.members.rights import Right
from billing.models import PaymentMethod, ProviderCustomer
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered, SetUp, SetUpState
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import back_to
from billing_site.dashboard.payments import declines
from billing_site.dashboard.payments.leaving import leave_for

METHODS: Final = "dashboard-payment-methods"
BEGUN: Final = "set_up"
"""In the session: the provider's page that was begun last, for who comes back without having finished."""


@dashboard_page(Right.BILL)
def show(request: DashboardRequest) -> HttpResponseBase:
    _gateway()
    acting = request.acting
    cards = [(card, card.has_expired(acting.now)) for card in methods.methods_of(acting.account)]
    return render(request, "dashboard/payment_methods.html", {"cards": cards})


@require_POST
@dashboard_page(Right.BILL)
def add(request: DashboardRequest) -> HttpResponseBase:
    """On to the provider's page. Pressed twice, the second page is used, and the first one ends by itself."""
    gateway, acting = _gateway(), request.acting
    back = request.build_absolute_uri(reverse("dashboard-payment-method-back"))
    answer = methods.begin_set_up(
        gateway,
        acting.account,
        acting.now,
        done_url=f"{back}?page={{page}}",
        left_url=back,
        language=get_language() or "",
    )
    if not isinstance(answer, Answered):
        methods.logger.error("no page to save a card for account %s: %s", acting.account, answer)
        messages.error(request, _("The provider of card payments does not answer. Try again in a minute."))
        return back_to(METHODS)
    request.session[BEGUN] = answer.value.reference
    return leave_for(request, answer.value.url)


@dashboard_page(Right.BILL)
def back(request: DashboardRequest) -> HttpResponseBase:
    """Back from the provider's page: what became of it is asked there, not taken from the address."""
    gateway, acting = _gateway(), request.acting
    begun = request.session.pop(BEGUN, "")
    page = request.GET.get("page", "").replace("\0", "")[:255] or begun
    answer = gateway.fetch_page(page) if page.isascii() and page.replace("_", "").isalnum() else None
    if isinstance(answer, Answered) and answer.value.set_up and _is_own(gateway, acting.account, answer.value.set_up):
        methods.apply_set_up(gateway, answer.value.set_up, acting.now)
        _say(request, answer.value.set_up)
    elif page and not isinstance(answer, Answered):
        messages.info(request, _("A card that was saved appears here in a minute."))
    return back_to(METHODS)


@require_POST
@dashboard_page(Right.BILL)
def make_default(request: DashboardRequest, method: int) -> HttpResponseBase:
    try:
        card = methods.make_default(request.acting.account, method)
    except PaymentMethod.DoesNotExist:
        raise Http404 from None
    messages.success(request, _("Invoices are charged to %(card)s from now on.") % {"card": card})
    return back_to(METHODS)


@dashboard_page(Right.BILL)
def remove(request: DashboardRequest, method: int) -> HttpResponseBase:
    """Ask, then remove it."""
    acting = request.acting
    cards = methods.methods_of(acting.account)
    card = next((each for each in cards if each.pk == method), None)
    if card is None:
        raise Http404
    if request.method == "POST":
        methods.remove(acting.account, method, acting.now)
        messages.success(request, _("%(card)s is removed.") % {"card": card})
        return back_to(METHODS)
    return render(request, "dashboard/payment_method_remove.html", {"card": card, "is_last": len(cards) == 1})


def _gateway() -> Gateway:
    gateway = card_gateway()
    if gateway is None:
        raise Http404
    return gateway


def _is_own(gateway: Gateway, account: int, set_up: SetUp) -> bool:
    own = ProviderCustomer.objects.filter(account=account, provider=gateway.name, reference=set_up.customer)
    return own.exists()


def _say(request: DashboardRequest, set_up: SetUp) -> None:
    if set_up.state == SetUpState.SAVED:
        messages.success(request, _("The card is saved."))
    elif set_up.decline is not None:
        why = declines.on_page(set_up.decline)
        messages.error(request, _("The card is not saved. %(why)s") % {"why": why})
    else:
        messages.info(request, _("No card was saved."))
