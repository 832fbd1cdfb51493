"""Subscriptions that staff start for a customer: shown first by doing it and rolling it back, then done as shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from billing.invoicing.review import largest_invoice
from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.money import in_currency
from billing.rules.periods import month_window
from billing.subscriptions import changes, opening, quotes, trials
from billing.subscriptions.coupons import discounts
from billing.subscriptions.refusals import AlreadyOnPlan, NotOnSale, QuoteExpired, StartRefused
from billing.subscriptions.staff.documents import Documents, documents_after, last_documents
from billing.users import User


@dataclass(frozen=True, slots=True)
class Terms:
    """What staff and customer have agreed on."""

    plan: Plan
    since: date | None = None
    """The UTC day on which the first period begins; None: now."""
    own_price: Decimal | None = None
    """What a period costs at most, whatever the list price becomes; None: the list price."""
    trial_days: int = 0


@dataclass(frozen=True, slots=True)
class StartPreview:
    """A subscription that was started, or tried."""

    period: BillingPeriod
    """The first one."""
    replaces: Plan | None
    """The free plan that the account was on; its period is cut here."""
    documents: Documents
    looks_wrong: bool
    """A customer would be refused it: an invoice is larger than the bound."""
    digest: str
    """Equal for two starts that show and bill the same."""


def preview_start(account: int, terms: Terms, now: datetime) -> StartPreview:
    """What `start` would do now, found out by doing it and rolling it back. Raises what `start` raises."""
    with transaction.atomic():
        preview = _start(account, terms, now)
        transaction.set_rollback(True)
    return preview


def start(account: int, terms: Terms, now: datetime, digest: str) -> StartPreview:
    """Start the account's subscription as it was shown.

    In the place of a free one it starts now. Without one it may start on a day of the present month on which the
    account had none: nothing was billed for that time, and the first period still runs. Never in the future, since what
    is agreed on for later would be billed at terms that nobody has looked at then.

    Raises StartRefused, AlreadyOnPlan, NotOnSale, OnlyAtPeriodEnd, UnderReview for a parked one, and QuoteExpired where
    something else would be billed now.
    """
    with transaction.atomic():
        started = _start(account, terms, now)
        if started.digest != digest:
            raise QuoteExpired(reason="digest")
    return started


def _start(account: int, terms: Terms, now: datetime) -> StartPreview:
    user = get_user_model().objects.get(pk=account)
    _check(user, terms, now)
    last = last_documents(account)
    if Subscription.objects.live().filter(account=account).exists():
        period, replaced, seen = _replace(user, terms, now)
    else:
        since = _since(user, terms.since, now)
        _check_trial(user, terms, since or now, now)
        agreed: Any = {"trial_days": terms.trial_days, "since": since, "kept_price": terms.own_price}
        try:
            subscription = opening.subscribe(account, terms.plan, now, reviewed=True, **agreed)
        except IntegrityError as error:  # another process has opened one in the same moment
            raise QuoteExpired(reason="subscription") from error
        period, replaced, seen = subscription.current_period(), None, ""
    documents = documents_after(account, last, period.currency)
    digest = quotes.digest_of(
        (account, seen, terms.since, terms.trial_days, None if terms.own_price is None else str(terms.own_price)),
        (in_currency(period.net_price, period.currency), period.currency, terms.plan.interval),
        quotes.limits_of(terms.plan),
        documents.said(),
    )
    is_large = any(abs(invoice.total) > largest_invoice(invoice.currency) for invoice, _ in documents.invoices)
    return StartPreview(period, replaced, documents, is_large, digest)


def _replace(user: User, terms: Terms, now: datetime) -> tuple[BillingPeriod, Plan, str]:
    """Cut the period of the free plan that the account is on; the plan's own begins, and is charged in full."""
    subscription = changes.locked(user.pk, now)
    period = subscription.current_period()
    if period.is_trial or period.price > 0:
        raise StartRefused(reason="has_plan", account=str(user), plan=period.plan.name)
    if period.plan_id == terms.plan.pk:
        raise AlreadyOnPlan(account=str(user), plan=terms.plan.name)
    if terms.since is not None and terms.since != now.astimezone(UTC).date():
        raise StartRefused(reason=_misses(terms.since, now) or "overlaps", account=str(user))
    _check_trial(user, terms, now, now)
    seen = f"{subscription.pk} {subscription.changed_at.isoformat()}"
    quote = _anew(quotes.quote(period, terms.plan, now, terms.own_price))
    quote = quotes.on_trial(quote, terms.trial_days) if terms.trial_days else quote
    changes.change_now(quote, now, reviewed=True, kept_price=terms.own_price)
    return Subscription.objects.get(pk=subscription.pk).current_period(), period.plan, seen


def _anew(quote: quotes.Quote) -> quotes.Quote:
    """The same change, as one that begins a period whatever the plan's mode."""
    if quote.opens_period:
        return quote
    account, currency = quote.period.subscription.account_id, quote.proration.currency
    redemption = discounts.active(account)
    discount = discounts.of_change(quote.period, quote.target, quote.price, quote.at, redemption, begins=True)
    off = in_currency(discount.amount if discount else Decimal(0), currency)
    charge = quote.target_cost
    proration = replace(quote.proration, charge=charge, discount=off, net=charge - off - quote.proration.credit)
    return replace(quote, opens_period=True, discount=discount, proration=proration)


def _check(user: User, terms: Terms, now: datetime) -> None:
    plan = terms.plan
    if not user.is_active:
        raise StartRefused(reason="deactivated", account=str(user))
    if not plan.is_on_sale:
        raise NotOnSale
    if terms.own_price is not None and terms.own_price > plan.price:
        price = f"{in_currency(plan.price, plan.currency)} {plan.currency}"
        raise StartRefused(reason="above_list_price", plan=plan.name, price=price)


def _check_trial(user: User, terms: Terms, start: datetime, now: datetime) -> None:
    if not terms.trial_days:
        return
    if not terms.plan.price:
        raise StartRefused(reason="nothing_to_try", plan=terms.plan.name)
    if trials.had_one(user.pk):
        raise StartRefused(reason="had_trial", account=str(user))
    if (now - start).days >= terms.trial_days:
        raise StartRefused(reason="trial_over")


def _since(user: User, day: date | None, now: datetime) -> datetime | None:
    """The start of a day that has begun, when the account had no subscription; None: now."""
    if day is None or day == now.astimezone(UTC).date():
        return None
    since = datetime.combine(day, time.min, UTC)
    reason = _misses(day, now)
    if not reason and Subscription.objects.filter(account=user, ended_at__gt=since).exists():
        reason = "overlaps"
    if reason:
        raise StartRefused(reason=reason, account=str(user))
    return since


def _misses(day: date, now: datetime) -> str:
    """Why no subscription starts on that day, whoever the customer is; "" where it may."""
    if day > now.astimezone(UTC).date():
        return "future"
    return "too_early" if day < month_window(now).start.date() else ""
