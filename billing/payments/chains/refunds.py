"""Balance paid out in a token: the customer names an address, staff approve and send it, the watcher confirms it.

The site cannot send anything: it knows no private key.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from billing.invoicing.ledger import lock
from billing.models import Chain, CryptoRefund, DepositAddress, Refund, Token
from billing.payments import refunds
from billing.payments.chains import configuration, uri
from billing.payments.chains.addresses import NotAnAddress, checksummed
from billing.payments.chains.reading import Node, Receipt
from billing.payments.chains.refusals import ChainRefused
from billing.users import User

State = CryptoRefund.State
NOBODYS = f"0x{'0' * 40}"


def refundable(account: int, token: Token) -> Decimal:
    """The most that can be paid out in a token now, in its currency."""
    return refunds.refundable(account, token.currency)


def request_refund(
    account: int, token: Token, amount: Decimal, to_address: str, user: User, now: datetime
) -> CryptoRefund:
    """Take an amount off the balance, to be sent to an address by staff.

    Raises ChainRefused `token_not_payable`, `refund_address` with a reason, `refund_asked_before` while another one
    waits for staff, and BillingError for an amount that cannot be paid out.
    """
    recipient = checked_address(to_address, token)
    if token not in configuration.payable(token.currency):
        raise ChainRefused("token_not_payable", token=token.symbol, currency=token.currency)
    with transaction.atomic():
        lock(account)
        if CryptoRefund.objects.filter(account=account, token=token, state=State.REQUESTED).exists():
            raise ChainRefused("refund_asked_before")
        reason = f"{token.symbol} to {recipient}"
        of = refunds.request(account, token.currency, amount, token.chain.caip2, reason, now)
        return CryptoRefund.objects.create(
            account_id=account,
            refund=of,
            token=token,
            to_address=recipient,
            units=token.terms.units(amount),
            requested_by=user,
            requested_at=now,
        )


def checked_address(text: str, token: Token) -> str:
    """With its checksum. Raises ChainRefused `refund_address`, with a reason."""
    try:
        address = checksummed(text)
    except NotAnAddress as error:
        raise ChainRefused("refund_address", reason=str(error)) from None
    if address in (NOBODYS, token.contract) or DepositAddress.objects.filter(address=address).exists():
        raise ChainRefused("refund_address", reason="ours")
    return address


def approve(refund: CryptoRefund, user: User, now: datetime) -> CryptoRefund:
    """Staff will send it. Raises ChainRefused `refund_state` where it is not waiting for that."""
    return _change(refund, {State.REQUESTED}, state=State.APPROVED, decided_by=user, decided_at=now)


def decline(refund: CryptoRefund, user: User, now: datetime) -> CryptoRefund:
    """The amount is balance again. Raises ChainRefused `refund_state` once it was sent."""
    with transaction.atomic():
        done = _change(refund, {State.REQUESTED, State.APPROVED}, state=State.DECLINED, decided_by=user, decided_at=now)
        refunds.advance(done.refund, Refund.State.FAILED, now)
        return done


def note_sent(refund: CryptoRefund, tx_hash: str, now: datetime) -> CryptoRefund:
    """Staff have sent it by this transaction; the watcher looks whether it did. Raises ChainRefused `refund_state`."""
    with transaction.atomic():
        done = _change(refund, {State.APPROVED}, state=State.SENT, tx_hash=tx_hash.lower(), problem="")
        refunds.advance(done.refund, Refund.State.SENT, now)
        return done


def link(refund: CryptoRefund) -> str:
    """What staff's wallet reads."""
    token = refund.token
    return uri.transfer_uri(token.chain.chain_id, token.contract, refund.to_address, int(refund.units))


def confirm_sent(chain: Chain, node: Node, now: datetime) -> None:
    """Confirm, once each, what staff have sent and the cursor has passed. Raises NodeError."""
    waiting = CryptoRefund.objects.filter(token__chain=chain, state=State.SENT).select_related("token", "refund")
    for refund in waiting.order_by("pk"):
        receipt = node.receipt(refund.tx_hash)
        if receipt is None or chain.cursor_number is None or receipt.block_number > chain.cursor_number:
            continue
        if not _confirm(refund, receipt, now):
            _refuse(refund, receipt)


def _confirm(refund: CryptoRefund, receipt: Receipt, now: datetime) -> bool:
    """By a transfer of the transaction that no other refund has."""
    for found in receipt.transfers:
        fits = (found.contract, found.recipient, found.units) == (
            refund.token.contract,
            refund.to_address,
            int(refund.units),
        )
        if receipt.succeeded and fits:
            try:
                with transaction.atomic():
                    done = _change(
                        refund, {State.SENT}, state=State.CONFIRMED, log_index=found.log_index, confirmed_at=now
                    )
                    reference = f"{refund.tx_hash}/{found.log_index}"
                    refunds.advance(done.refund, Refund.State.SUCCEEDED, now, reference)
                    return True
            except IntegrityError:  # it is another refund's
                continue
    return False


def _refuse(refund: CryptoRefund, receipt: Receipt) -> None:
    """The transaction does not pay it: staff send it again, or name the right one."""
    what = "does not transfer the amount to the address" if receipt.succeeded else "has failed"
    _change(refund, {State.SENT}, state=State.APPROVED, tx_hash="", problem=f"{refund.tx_hash} {what}.")


def _change(refund: CryptoRefund, may_be: set[str], **columns: object) -> CryptoRefund:
    with transaction.atomic():
        lock(refund.account_id)
        if not CryptoRefund.objects.filter(pk=refund.pk, state__in=may_be).update(**columns):
            refund.refresh_from_db()
            raise ChainRefused("refund_state", refund=str(refund), state=refund.state)
        refund.refresh_from_db()
        return refund
