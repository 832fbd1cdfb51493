"""Mails about plans: what was changed, what follows and when."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from billing.mails.draft import Draft, Link, amount, instant, plan_name
from billing.models import Invoice, OutboxMessage, Plan, Subscription
from billing.subscriptions.current import current_subscription
from billing.subscriptions.refusals import NoSubscription

PRICES: Final = {"month": gettext_noop("%(price)s a month"), "year": gettext_noop("%(price)s a year")}
PLANS: Final = "/dashboard/plans/"


def change_scheduled(message: OutboxMessage) -> Draft | None:
    row, target = _subscription(message), Plan.objects.filter(code=message.payload["plan"]).first()
    if target is None or row.scheduled_plan != target or row.scheduled_at is None:
        return None  # taken back since; of which another mail tells
    return Draft(
        "change_scheduled",
        {"plan": target.name, "present": row.plan.name, "at": instant(row.scheduled_at)},
        [
            (_("Plan until then"), row.plan.name),
            (_("Plan from then on"), target.name),
            (_("Changes on"), instant(row.scheduled_at)),
            (_("New price"), _price(target)),
        ],
        _to_plans(),
    )


def change_applied(message: OutboxMessage) -> Draft | None:
    return _changed("change_applied", message)


def plan_changed(message: OutboxMessage) -> Draft | None:
    """At once. Its invoice comes with a mail of its own, too, as each does."""
    invoice = Invoice.objects.issued().filter(pk=message.payload.get("invoice")).first()
    return _changed("plan_changed", message, invoice)


def _changed(template: str, message: OutboxMessage, invoice: Invoice | None = None) -> Draft | None:
    former, target = plan_name(message.payload["from_plan"]), plan_name(message.payload["to_plan"])
    facts = [(_("Former plan"), former), (_("Present plan"), target), (_("Changed on"), instant(message.recorded_at))]
    if invoice is not None:
        facts += [(_("Invoice"), str(invoice)), (_("Total"), amount(invoice.total, invoice.currency))]
    return Draft(template, {"plan": target, "former": former, "invoice": str(invoice or "")}, facts, _to_plans())


def change_canceled(message: OutboxMessage) -> Draft | None:
    row = _subscription(message)
    context = {"plan": row.plan.name, "dropped": plan_name(message.payload["plan"])}
    return Draft("change_canceled", context, link=_to_plans())


def trial_ending(message: OutboxMessage) -> Draft | None:
    now = timezone.now()
    try:
        current = current_subscription(message.account_id, now)
    except NoSubscription:
        return None
    ends_at = current.trial_ends_at
    if ends_at is None:
        return None
    follows = current.then
    facts = [(_("Trial of"), current.plan.name), (_("Ends on"), instant(ends_at))]
    if follows is not None:
        facts += [
            (_("Plan from then on"), follows.name),
            (_("Next invoice"), amount(current.next_invoice_amount, current.period.currency)),
        ]
    context = {
        "plan": current.plan.name,
        "at": instant(ends_at),
        "follows": follows.name if follows is not None else "",
        "goes_on": follows == current.plan,
    }
    return Draft("trial_ending", context, facts, _to_plans())


def cancel_scheduled(message: OutboxMessage) -> Draft | None:
    row = _subscription(message)
    if row.cancel_at is None:
        return None
    draft, follows = _ending("cancel_scheduled", row.plan.name, row.cancel_at), Plan.objects.default()
    if follows is not None:
        draft.facts.append((_("Plan from then on"), follows.name))
    return draft


def cancel_withdrawn(message: OutboxMessage) -> Draft | None:
    row = _subscription(message)
    if row.cancel_at is not None or not row.is_live:
        return None
    return Draft("cancel_withdrawn", {"plan": row.plan.name}, link=_to_plans())


def ended(message: OutboxMessage) -> Draft | None:
    row = _subscription(message)
    return _ending("subscription_ended", plan_name(message.payload["plan"]), row.ended_at or message.recorded_at)


def _ending(template: str, plan: str, at: datetime) -> Draft:
    facts = [(_("Plan"), plan), (_("Ends on"), instant(at))]
    return Draft(template, {"plan": plan, "at": instant(at)}, facts, _to_plans())


def _subscription(message: OutboxMessage) -> Subscription:
    rows = Subscription.objects.select_related("plan", "scheduled_plan", "account")
    return rows.get(pk=message.payload["subscription"])


def _price(plan: Plan) -> str:
    price = amount(plan.price, plan.currency)
    return _(PRICES[plan.interval]) % {"price": price} if plan.interval in PRICES else price


def _to_plans() -> Link:
    return Link(_("Look at your plan"), PLANS)
