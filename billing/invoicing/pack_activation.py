"""Lets the tokens of a pack count: at the purchase, or once its invoice is paid."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from billing.models import Invoice, TokenPackPurchase, TokenTopUp


def activate_paid(invoice: Invoice) -> None:
    """Let what was bought with an invoice count, now that it is paid.

    Not where a part of it was credited: whether the tokens are due then, staff decide. Does nothing to other invoices.
    """
    purchase = TokenPackPurchase.objects.filter(invoice=invoice, activated_at=None).first()
    if purchase is not None and not invoice.credit_notes.exists():
        activate(purchase)


def activate(purchase: TokenPackPurchase) -> TokenTopUp:
    """The top-up that the tokens become.

    It starts by the clock of now, not when the money came, which may have been in another window.
    """
    now = timezone.now()
    top_up = TokenTopUp(
        account_id=purchase.account_id,
        tokens=purchase.tokens,
        starts_at=now,
        expires_at=None if purchase.valid_days is None else now + timedelta(days=purchase.valid_days),
        reason=f"{purchase.pack}, {purchase.invoice or 'free'}",
    )
    top_up.save()
    purchase.top_up, purchase.activated_at = top_up, now
    purchase.save(update_fields=["top_up", "activated_at"])
    return top_up
