"""What people are told of a refusal: one sentence for each code, and another one for staff where they can do more.

In English: the API answers the same to everybody, and the admin is not translated. Customers' pages have their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.utils.functional import Promise

from billing.rules.refused import Refused

_ASK_AGAIN: Final = "The subscription was changed since. Ask for a new quote."
_RELEASE_FIRST: Final = "The subscription is parked, or its next invoice looks wrong. See why, and release it first."
_SHOWN_ANEW: Final = "A price or the subscription was changed since you looked. This is how it stands now."
_OLD_PREVIEW: Final = "The preview is older than 15 minutes. This is a new one."

#: By code, or by `code.reason`. Whole sentences end with a full stop; the others are put into one by their door.
SENTENCES: Final[Mapping[str, str]] = {
    "currency_mismatch": (
        "%(target)s is sold in %(target_currency)s, but %(current)s is billed in %(currency)s; "
        "it can only follow at the period's end: POST /api/v1/billing/downgrade."
    ),
    "interval_mismatch": (
        "%(target)s is billed every %(target_interval)s, but %(current)s every %(interval)s; "
        "it can only follow at the period's end: POST /api/v1/billing/downgrade."
    ),
    "next_period": "%(target)s can only follow at the period's end: POST /api/v1/billing/downgrade.",
    "cycle_ends_first": "The cycle ends at %(end)s, not after its start at %(start)s.",
    "cycle_within_a_day": "The cycle lies within one day (UTC); give one of a day or more.",
    "not_on_sale": "No such plan is on sale. Choose one of the list.",
    "not_an_upgrade": "%(target)s is not an upgrade from %(current)s. Choose a higher plan.",
    "not_a_downgrade": "%(target)s is not a downgrade from %(current)s. Choose a lower plan.",
    "start_refused.has_plan": "%(account)s is on %(plan)s. Change the plan instead, or end the subscription first.",
    "start_refused.deactivated": "%(account)s is deactivated: activate the user first.",
    "start_refused.future": "A subscription starts now, or on a day of this month that has begun. It cannot wait.",
    "start_refused.too_early": "A subscription starts now, or on a day of this month. Bill what was before by hand.",
    "start_refused.overlaps": "%(account)s had a subscription on that day. Start this one now.",
    "start_refused.had_trial": "%(account)s had its trial: each account gets one.",
    "start_refused.trial_over": "A trial of so many days would have ended by now.",
    "start_refused.nothing_to_try": "%(plan)s costs nothing: there is nothing to try.",
    "start_refused.above_list_price": "An own price is a lower one: the list price of %(plan)s is %(price)s.",
    "already_on_plan": "%(account)s is on %(plan)s already.",
    "no_subscription": "There is no subscription. Choose a plan: POST /api/v1/billing/upgrade.",
    "nothing_to_cancel": "%(plan)s is what follows when a subscription ends: there is nothing to cancel.",
    "nothing_scheduled": "No change is scheduled.",
    "nothing_to_top_up": "Tokens are unlimited on %(plan)s: there is nothing to add to.",
    "nobody_to_move": "There is nobody to move: no subscription is chosen, or none of them can be moved.",
    "same_plan": "The subscribers are on that plan already. Choose another one.",
    "move_state": "The move is %(state)s.",
    "tried_long_ago": "The move was tried more than a day ago. Stop it, and make it anew.",
    "erases_no_staff": "%(account)s is staff. Take the rights away first: what staff did stays under their name.",
    "open_invoices": (
        "Something is due on %(invoices)s. Settle, credit or void it first, or erase with it: it stays due, "
        "and nobody can be asked for it."
    ),
    "erasure_waits": "It is begun and not finished: %(why)s. It goes on by itself; ask again to see.",
    "has_bought": "%(account)s has bought something, and what was billed is kept. Erase the personal data instead.",
    "has_called": "%(account)s has made calls, and the log of them is kept. Erase the personal data instead.",
    "was_erased": "The personal data of %(account)s were erased; the account is kept.",
    "is_named": "%(account)s is named in %(what)s, which are kept. Deactivate the user instead.",
    "calls_unknown": "It cannot be told at the moment whether %(account)s has made calls: %(why)s. Try again.",
    "coupon_invalid.unknown": "There is no such coupon.",
    "coupon_invalid.expired": "The coupon cannot be redeemed any more.",
    "coupon_invalid.used_up": "The coupon was redeemed as often as it can be.",
    "coupon_invalid.already_redeemed": "You have redeemed this coupon before; each can be redeemed once.",
    "coupon_invalid.another_active": (
        "Another coupon discounts your next periods. To give it up for good: DELETE /api/v1/billing/coupon."
    ),
    "wrong_units.unknown": "There is no unit “%(unit)s”. Units are input, cache_read, cache_write and output.",
    "wrong_units.overlapping": (
        "“%(unit)s” overlaps with %(names)s. Units are disjoint: input (read from no cache), cache_read, cache_write "
        "and output (reasoning is output)."
    ),
    "wrong_units.not_whole": "%(unit)s is a whole number, or null where it was not reported.",
    "wrong_units.negative": "%(unit)s is 0 or more, or null where it was not reported.",
    "wrong_units.too_many": "%(unit)s is at most %(most)s in one call.",
    "wrong_units.too_costly": "So much %(unit)s costs more than one call can.",
    "too_many_keys": "You have as many live keys as there can be: %(most)s. Revoke one first.",
    "expiry_passed": "Give a time in the future.",
    "expiry_too_far": "Give a time within a thousand years, or none: then it does not expire.",
    "key_ended.revoked": "The key is revoked. Make another one.",
    "key_ended.expired": "The key has expired. Make another one.",
    "already_rotated": "The key was rotated: %(successor)s takes its place. Rotate that one.",
    "scope_not_yours": "A key of the scope %(scope)s is rotated by our staff only.",
    "url_refused.form": "This is no address that messages can be sent to. Give one such as https://example.com/hook.",
    "url_refused.scheme": "Messages are sent by https alone. Give an address that begins with https://.",
    "url_refused.user": "The address may have no user name and no password: the signature says who sends.",
    "url_refused.address": "The address lies in a network that is not public. Give one that the internet reaches.",
    "url_refused.unknown": "The name of the host cannot be found. Is it spelled right?",
    "too_many_endpoints": "There are as many endpoints as there can be: %(most)s. Delete one first.",
    "type_unknown": "There are no such types: %(names)s.",
    "endpoint_disabled": "The endpoint is disabled. Enable it first.",
    "delivery_pending": "The message is still being tried. It can be sent again when its tries have ended.",
    "no_coupon": "There is no coupon that discounts periods to come.",
    "no_overage": "%(plan)s sells no tokens above the quota: there is no cap to set.",
    "not_parked": "The subscription is not parked, or not any more.",
    "quote_expired.unseen": "Look at the change before you confirm it.",
    "quote_expired.future": "The quote lies in the future. Ask for a new one.",
    "quote_expired.old": "The quote is older than 15 minutes. Ask for a new one.",
    "quote_expired.price": "The price was changed since. Ask for a new quote.",
    "quote_expired.tax": "The tax was changed since. Ask for a new quote.",
    "quote_expired.credit": "An invoice was credited since. Ask for a new quote.",
    "quote_expired.coupon": "A coupon was redeemed, changed or given up since. Ask for a new quote.",
    "quote_expired.subscription": _ASK_AGAIN,
    "quote_expired.period": _ASK_AGAIN,
    "quote_expired.digest": _ASK_AGAIN,
    "under_review.parked": "Your account is being looked at by our staff. Please contact support.",
    "under_review.invoice": "This change needs a look by our staff. Please contact support.",
    "active_features": "Cannot downgrade. Active features: %(capabilities)s",
    "activity_unknown": "The usage log is behind: %(why)s",
    "plan_is_default": "%(plan)s is the default plan. Make another plan the default first.",
    "plan_is_archived": "%(plan)s is archived. Put it on sale before it becomes the default.",
    "no_money": "%(amount)s %(currency)s is no amount of money; give one above 0, with the decimals of its currency",
    "received_in_future": "%(at)s UTC has not come; record money once it is there",
    "invoice_of_another": "%(invoice)s is an invoice of another account",
    "reference_taken": "%(reference)s was recorded as %(amount)s %(currency)s; give another reference",
    "reversal_out_of_bounds": "between 0 and %(most)s %(currency)s of %(reference)s can be taken back",
    "nowhere": "there is no invoice and no customer called %(to)s",
    "not_by_hand": "%(reference)s was told by %(source)s, which knows where it belongs",
    "token_not_payable": "Invoices in %(currency)s cannot be paid in %(token)s at the moment.",
    "refund_address.form": "This is no address: it begins with 0x, and 40 digits and letters from a to f follow.",
    "refund_address.checksum": "The address has a mistake: its checksum is wrong. Copy it again.",
    "refund_address.ours": "Nobody could receive anything at this address. Give one of your own wallet.",
    "refund_asked_before": "A pay-out in this token was asked for before, and waits for our staff.",
    "refund_state": "%(refund)s is %(state)s.",
    "refund_out_of_bounds": "between 0 and %(most)s %(currency)s can be paid out",
    "refund_while_due": (
        "%(due)s %(currency)s is due on open invoices, which a credit pays first; "
        "nothing goes back until that is settled"
    ),
    "not_payable": "%(invoice)s is %(status)s; only an open invoice is paid",
    "payment_failed": "The payment of %(invoice)s was declined: %(decline_code)s. Try another card.",
    "provider_unreachable": "The provider of payments does not answer at the moment. Nothing was charged; try again.",
    "attempt_running": "A payment of %(invoice)s is under way. What becomes of it is found out.",
    "attempted": "%(invoice)s was charged before.",
    "not_creditable": "%(invoice)s is %(status)s; only an issued invoice is credited",
    "credit_out_of_bounds": "between 0 and %(most)s %(currency)s can be credited on %(invoice)s",
    "credited_meanwhile": "%(invoice)s was credited since you looked; see what can be credited now",
    "invoice_not_open": "%(invoice)s is %(status)s; only an open invoice is voided",
    "no_document.no_seller": (
        "There is no document of %(number)s: our name and address were not known here when it was issued. "
        "Please contact support."
    ),
    "no_document.void": "There is no document of %(number)s: it is void.",
    "no_document.too_long": "There is no document of %(number)s: it has more than %(most)s lines.",
    "invoice_credited": "%(later)s has credited a part of what %(invoice)s bills; void %(later)s first, or issue a "
    "credit note",
    "invoice_settled": "part of %(invoice)s is settled or credited; issue a credit note instead",
}
_AT_PERIOD_END: Final = "%(target)s can only follow when the present period ends. Schedule it."
TO_STAFF: Final[Mapping[str, str]] = {
    "currency_mismatch": _AT_PERIOD_END,
    "interval_mismatch": _AT_PERIOD_END,
    "next_period": _AT_PERIOD_END,
    "no_subscription": "The account has no subscription any more.",
    "under_review.parked": _RELEASE_FIRST,
    "under_review.invoice": _RELEASE_FIRST,
    "activity_unknown": "It cannot be told at the moment which features are in active use (%(why)s). Try again.",
    "no_document.no_seller": (
        "There is no document of %(number)s: there was no seller when it was issued. "
        "Fill in name, address and country under Seller; what is issued from then on has one."
    ),
    "quote_expired.future": _OLD_PREVIEW,
    "quote_expired.old": _OLD_PREVIEW,
    "quote_expired.price": _SHOWN_ANEW,
    "quote_expired.tax": _SHOWN_ANEW,
    "quote_expired.credit": _SHOWN_ANEW,
    "quote_expired.coupon": _SHOWN_ANEW,
    "coupon_invalid.already_redeemed": "The customer has redeemed this coupon before; each can be redeemed once.",
    "coupon_invalid.another_active": "Another coupon discounts the customer's next periods. Withdraw it first.",
    "quote_expired.subscription": _SHOWN_ANEW,
    "quote_expired.digest": _SHOWN_ANEW,
    "quote_expired.period": "A new period has begun since you looked. This is how it stands now.",
}
#: Why one of many is not moved, by the code in its item.
NOT_MOVED: Final[Mapping[str, str]] = {
    "changed": "changed since the move was tried: another plan, a new period, another price",
    "ending": "ends with its period: canceled, or its user is deactivated",
    "another_follows": "another change is scheduled for it",
    "price_not_comparable": "its price cannot be kept: the plan is sold in another currency or interval",
    "under_review.parked": "parked for staff",
    "under_review.invoice": "its invoice would look wrong; change it by itself",
    "currency_mismatch": "the plan is sold in another currency: only when the period ends",
    "interval_mismatch": "the plan is billed in a shorter interval: only when the period ends",
    "next_period": "the plan can only follow when the period ends",
    "no_subscription": "has ended",
    "not_on_sale": "the plan is not on sale any more",
    "failed": "failed; see the log of the worker",
}


def to_customer(refused: Refused) -> str:
    return sentence(SENTENCES, refused)


def to_staff(refused: Refused) -> str:
    return sentence({**SENTENCES, **TO_STAFF}, refused)


def why_not_moved(code: str) -> str:
    """For staff; a code that has no sentence is shown as it is."""
    return NOT_MOVED.get(code, code)


def sentence(sentences: Mapping[str, str | Promise], refused: Refused) -> str:
    """The sentence of a refusal in one of these tables, with its values. Raises KeyError for a code without one."""
    reason = refused.parameters.get("reason")
    template = sentences[f"{refused.code}.{reason}" if reason else refused.code]
    return str(template) % {name: _shown(value) for name, value in refused.parameters.items()}


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
