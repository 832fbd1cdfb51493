"""What a look at a chain has found, written down: transfers, credits and the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from billing.models import Chain, ChainCheckpoint, ChainTransfer, DepositAddress, PaymentRequest, SeenTransfer, Token
from billing.payments.chains import credit
from billing.payments.chains.reading import Block, Transfer
from billing.rules.money import AMOUNT_BOUND

State = ChainTransfer.State
WATCHED_FOR: Final = timedelta(days=90)
"""So long after its page has ended an address is read with each look, and asked for the chain's own coin."""
CHECKPOINT_BLOCKS: Final = 100_000
"""A fork deeper than that is read again from the very beginning."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was read from a block to another one, both included: all that there is of these addresses."""

    first: int
    upto: Block
    transfers: Sequence[Transfer]
    balances: Mapping[str, int]
    addresses: Mapping[str, DepositAddress]


def keep(chain: Chain, found: Found, now: datetime, *, is_sweep: bool = False) -> bool:
    """Keep what was found, credit it, and move the cursor, or that of the sweep: all or nothing. Law C2.

    False where the cursor is not where `chain` has it: somebody else was faster, and nothing is written.
    """
    with transaction.atomic():
        if not is_at(chain):
            return False
        gone = _gone(chain, found)
        touched = {each.recipient: found.addresses[each.recipient] for each in found.transfers}
        touched |= {row.address.address: row.address for row in gone}
        credit.lock_accounts_of(touched.values())
        reverse_transfers(gone)
        for each in found.transfers:
            _keep_one(chain, each, found.addresses[each.recipient], now)
        _keep_native(chain, found, now)
        credit.settle(touched.values(), now)
        if is_sweep:
            Chain.objects.filter(pk=chain.pk).update(swept_number=found.upto.number)
        else:
            move_cursor(chain, found.upto)
        return True


def all_of(chain: Chain) -> dict[str, DepositAddress]:
    """By their text."""
    return {each.address: each for each in DepositAddress.objects.filter(key__chain=chain)}


def watched_closely(chain: Chain, now: datetime) -> dict[str, DepositAddress]:
    """Those that were asked for lately, by their text. The others are left to the sweep."""
    asked = DepositAddress.objects.filter(key__chain=chain, request__shown_until__gt=now - WATCHED_FOR)
    return {each.address: each for each in asked}


def show(chain: Chain, seen: Iterable[Transfer], addresses: Mapping[str, DepositAddress]) -> None:
    """What lies above the blocks that count, for customers' pages."""
    asked = _asked_for(addresses.values())
    rows = [
        SeenTransfer(chain=chain, address=addresses[each.recipient], block_number=each.block_number, units=each.units)
        for each in seen
        if each.units and asked[addresses[each.recipient].pk].contract == each.contract
    ]
    with transaction.atomic():
        SeenTransfer.objects.filter(chain=chain).delete()
        SeenTransfer.objects.bulk_create(rows)


def move_cursor(chain: Chain, block: Block) -> None:
    """Former places are kept to step back to: the first one for ever, the others as long as a fork could go."""
    Chain.objects.filter(pk=chain.pk).update(cursor_number=block.number, cursor_hash=block.hash)
    ChainCheckpoint.objects.update_or_create(chain=chain, number=block.number, defaults={"hash": block.hash})
    old = ChainCheckpoint.objects.filter(chain=chain, number__lt=block.number - CHECKPOINT_BLOCKS)
    first = old.order_by("number").first()
    if first is not None:
        old.exclude(pk=first.pk).delete()


def reverse_transfers(rows: Iterable[ChainTransfer]) -> None:
    """They are no part of the chain any more. Foreign ones were never money: they go on standing in their list."""
    pks = [row.pk for row in rows if row.state == State.CREDITED]
    ChainTransfer.objects.filter(pk__in=pks).update(state=State.REVERSED)


def is_at(chain: Chain) -> bool:
    now = Chain.objects.select_for_update(no_key=True).get(pk=chain.pk)
    return (now.cursor_number, now.cursor_hash, now.parked_at) == (chain.cursor_number, chain.cursor_hash, None)


def _keep_one(chain: Chain, found: Transfer, address: DepositAddress, now: datetime) -> None:
    if not found.units:
        return
    token = _asked_for([address])[address.pk]
    # Contract and chain are compared on every log, whatever was asked for. Law C5.
    is_ours = token.chain_id == chain.pk and token.contract == found.contract and found.units < _largest(token)
    state = State.CREDITED if is_ours else State.FOREIGN
    row, is_new = ChainTransfer.objects.get_or_create(
        chain=chain,
        block_hash=found.block_hash,
        log_index=found.log_index,
        defaults={
            "block_number": found.block_number,
            "tx_hash": found.tx_hash,
            "contract": found.contract,
            "token": token if is_ours else None,
            "sender": found.sender,
            "address": address,
            "units": found.units,
            "state": state,
            "read_at": now,
        },
    )
    if not is_new and row.state == State.REVERSED:  # its block is part of the chain again
        ChainTransfer.objects.filter(pk=row.pk).update(state=state)


def _gone(chain: Chain, found: Found) -> list[ChainTransfer]:
    """Transfers of the blocks that were read which are not among what was read: their block is another one now."""
    places = {each.place for each in found.transfers}
    known = ChainTransfer.objects.filter(
        chain=chain, block_number__gte=found.first, block_number__lte=found.upto.number, log_index__gte=0
    ).select_related("address")
    return [
        row for row in known if row.address.address in found.addresses and (row.block_hash, row.log_index) not in places
    ]


def _keep_native(chain: Chain, found: Found, now: datetime) -> None:
    """The chain's own coin leaves no log: it is seen in the balance, and listed for staff by what came on top."""
    for name, units in found.balances.items():
        address = found.addresses[name]
        more = units - int(address.native_units)
        if more:
            DepositAddress.objects.filter(pk=address.pk).update(native_units=units)
        if more > 0:
            ChainTransfer.objects.get_or_create(
                chain=chain,
                block_hash=found.upto.hash,
                log_index=-address.pk,
                defaults={
                    "block_number": found.upto.number,
                    "address": address,
                    "units": more,
                    "state": State.FOREIGN,
                    "read_at": now,
                },
            )


def _asked_for(addresses: Iterable[DepositAddress]) -> dict[int, Token]:
    """By address, the token that its customer was asked for."""
    requests = PaymentRequest.objects.filter(address__in=[each.pk for each in addresses]).select_related("token")
    return {request.address_id: request.token for request in requests}


def _largest(token: Token) -> int:
    """No sum of money is so large: a contract that says so is no stablecoin."""
    return token.terms.units(Decimal(AMOUNT_BOUND // 1000))
