"""What a look at a chain has found, written down: transfers, credits and the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from billing.models import Chain, ChainCheckpoint, ChainTransfer, DepositAddress, PaymentRequest, SeenTransfer, Token
from billing.payments.chains import credit
from billing.payments.chains.reading import Block, Transfer
from billing.rules.money import AMOUNT_BOUND

State = ChainTransfer.State
WATCHED_FOR: Final = timedelta(days=30)
"""So long after its request an address is asked for the chain's own coin, which leaves no log."""
CHECKPOINTS_KEPT: Final = 5_000


def keep(
    chain: Chain,
    upto: Block,
    transfers: Sequence[Transfer],
    balances: Mapping[str, int],
    addresses: Mapping[str, DepositAddress],
    now: datetime,
) -> bool:
    """Keep all transfers up to a block, credit them, and move the cursor there: all or nothing. Law C2.

    `transfers` are all that there are between the cursor and that block. False where the cursor is not where `chain`
    has it: somebody else was faster, and nothing is written.
    """
    with transaction.atomic():
        if not is_at(chain):
            return False
        known = ChainTransfer.objects.filter(
            chain=chain, block_number__gt=chain.cursor_number, block_number__lte=upto.number, log_index__gte=0
        )
        gone = [row for row in known if (row.block_hash, row.log_index) not in {each.place for each in transfers}]
        touched = {addresses[each.recipient].pk: addresses[each.recipient] for each in transfers}
        touched |= {row.address_id: row.address for row in gone}
        credit.lock_accounts_of(touched.values())
        reverse_transfers(gone)
        for each in transfers:
            _keep_one(chain, each, addresses[each.recipient], now)
        _keep_native(chain, upto, balances, addresses, now)
        credit.settle(touched.values(), now)
        move_cursor(chain, upto)
        return True


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


def young(addresses: Iterable[DepositAddress], now: datetime) -> list[str]:
    return [each.address for each in addresses if now - each.created_at < WATCHED_FOR]


def move_cursor(chain: Chain, block: Block) -> None:
    Chain.objects.filter(pk=chain.pk).update(cursor_number=block.number, cursor_hash=block.hash)
    ChainCheckpoint.objects.update_or_create(chain=chain, number=block.number, defaults={"hash": block.hash})


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


def _keep_native(
    chain: Chain, upto: Block, balances: Mapping[str, int], addresses: Mapping[str, DepositAddress], now: datetime
) -> None:
    """The chain's own coin leaves no log: it is seen in the balance, and listed for staff by what came on top."""
    for name, units in balances.items():
        address = addresses[name]
        more = units - int(address.native_units)
        if more:
            DepositAddress.objects.filter(pk=address.pk).update(native_units=units)
        if more > 0:
            ChainTransfer.objects.get_or_create(
                chain=chain,
                block_hash=upto.hash,
                log_index=-address.pk,
                defaults={
                    "block_number": upto.number,
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
