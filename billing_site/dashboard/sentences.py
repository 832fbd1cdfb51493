"""Refusals as a customer's page says them, in the reader's language and without telling of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from billing.api.sentences import SENTENCES, sentence
from billing.http.problems import Problem
from billing.rules.refused import Refused

_AT_PERIOD_END: Final = _("%(target)s can only follow when the present period ends.")
SHOWN_ANEW: Final = _("Something has changed since you looked. This is how it stands now.")
ON_PAGES: Final[Mapping[str, str | Promise]] = {
    "not_on_sale": _("This plan is not on sale any more. Choose another one."),
    "not_an_upgrade": _("%(target)s is not an upgrade from %(current)s. Choose a higher plan."),
    "not_a_downgrade": _("%(target)s is not a downgrade from %(current)s. Choose a lower plan."),
    "nothing_to_cancel": _("%(plan)s is what follows when a subscription ends: there is nothing to cancel."),
    "nothing_scheduled": _("No change is scheduled."),
    "nothing_to_top_up": _("Tokens are unlimited on %(plan)s: there is nothing to add to."),
    "coupon_invalid.unknown": _("There is no such coupon."),
    "coupon_invalid.expired": _("The coupon cannot be redeemed any more."),
    "coupon_invalid.used_up": _("The coupon was redeemed as often as it can be."),
    "coupon_invalid.already_redeemed": _("You have redeemed this coupon before; each can be redeemed once."),
    "too_many_keys": _("You have as many working keys as there can be: %(most)s. Revoke one first."),
    "expiry_passed": _("Choose a time in the future."),
    "expiry_too_far": _("Choose a time within a thousand years."),
    "key_ended.revoked": _("The key is revoked already."),
    "key_ended.expired": _("The key has expired. Make a new one."),
    "already_rotated": _("The key was rotated already: %(successor)s… takes its place."),
    "scope_not_yours": _("This key was issued by our staff, who rotate it. Please contact support."),
    "url_refused.form": _(
        "This is no address that messages can be sent to. Give one such as https://example.com/hook."
    ),
    "url_refused.scheme": _("Give an address that begins with https://."),
    "url_refused.user": _("Leave user name and password out of the address."),
    "url_refused.address": _("The address is not public. Give one that the internet reaches."),
    "url_refused.unknown": _("The name of the host cannot be found. Is it spelled right?"),
    "too_many_endpoints": _("You have as many webhooks as there can be: %(most)s. Delete one first."),
    "endpoint_disabled": _("The webhook is disabled. Enable it first."),
    "delivery_pending": _("The message is still being tried."),
    "no_coupon": _("There is no coupon that discounts periods to come."),
    "no_overage": _("%(plan)s sells no tokens above the quota: there is no limit to set."),
    "quote_expired.unseen": _("Look at the change before you confirm it."),
    "quote_expired.future": SHOWN_ANEW,
    "under_review.parked": _("Your account is being looked at by our staff. Please contact support."),
    "under_review.invoice": _("This change needs a look by our staff. Please contact support."),
    "not_invited.own": _("This is your own address. You are the owner already."),
    "not_invited.member": _("Who has this address is a member already."),
    "not_invited.many": _("An account has 50 members at most, those who were invited included."),
    "not_invited.mails": _("Many invitations were sent today. Try again tomorrow."),
    "not_invited.unknown": _("This invitation is not there any more. Ask for another one."),
    "not_invited.old": _("This invitation is older than seven days. Ask for another one."),
    "not_invited.address": _("%(email)s was invited. Sign in with that address."),
    "no_document.no_seller": _(
        "There is no document of %(number)s: our name and address were not known when it was issued. "
        "Please contact support."
    ),
    "no_document.void": _("There is no document of %(number)s: it is void."),
    "no_document.too_long": _("There is no document of %(number)s: it has more than %(most)s lines."),
    "not_payable": _("Nothing is to be paid on this invoice."),
    "payment_failed": _("The card was declined. Please try another one."),
    "provider_unreachable": _("The payment provider does not answer. Nothing was charged; please try again."),
    "attempt_running": _("A payment is under way. This page shows it as soon as it is known."),
    "token_not_payable": _("Invoices in %(currency)s cannot be paid in %(token)s at the moment."),
    "refund_address.form": _("This is no address: it begins with 0x, and 40 digits and letters from a to f follow."),
    "refund_address.checksum": _("The address has a mistake: its checksum is wrong. Copy it again."),
    "refund_address.ours": _("Nobody could receive anything at this address. Give one of your own wallet."),
    "refund_asked_before": _("A pay-out in this token was asked for before, and waits for our staff."),
    "refund_out_of_bounds": _("At most %(most)s %(currency)s can be paid out."),
    "currency_mismatch": _AT_PERIOD_END,
    "interval_mismatch": _AT_PERIOD_END,
    "next_period": _AT_PERIOD_END,
    "no_subscription": _("You have no plan at the moment. Choose one."),
    "active_features": _("These are in use and not part of the plan: %(capabilities)s"),
    "activity_unknown": _("What you have used lately is not known at this moment. Please try again."),
    "coupon_invalid.another_active": _("Another coupon discounts your next periods. Give it up first."),
    "quote_expired.old": _("More than 15 minutes have passed. This is how it stands now."),
    "quote_expired.price": SHOWN_ANEW,
    "quote_expired.tax": SHOWN_ANEW,
    "quote_expired.credit": SHOWN_ANEW,
    "quote_expired.coupon": SHOWN_ANEW,
    "quote_expired.subscription": SHOWN_ANEW,
    "quote_expired.period": SHOWN_ANEW,
    "quote_expired.digest": SHOWN_ANEW,
}


def on_page(refused: Refused) -> str:
    return sentence({**SENTENCES, **ON_PAGES}, refused)


def problem_on_page(problem: Problem) -> str:
    """Of a door that pages share with the API: what says when to try again is said in the reader's language."""
    seconds = problem.members.get("retry_after")
    if seconds is None:
        return str(problem.detail)
    minutes = -(-seconds // 60)
    told = ngettext(
        "Too many tries. Try again in %(minutes)s minute.",
        "Too many tries. Try again in %(minutes)s minutes.",
        minutes,
    )
    return told % {"minutes": minutes}
