"""The chain became another one behind the cursor, deeper than blocks are waited for: what was credited is looked at
again, what is gone is taken back, and staff are called."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models.functions import Least

from billing.models import Chain, ChainCheckpoint, ChainTransfer
from billing.payments.chains import credit, recording
from billing.payments.chains.reading import Block, Node, NodeError

logger = logging.getLogger(__name__)
CREDITED: Final = ChainTransfer.State.CREDITED


def step_back(chain: Chain, node: Node, now: datetime) -> None:
    """Take back what is no part of the chain any more, set the cursor to before that, and park the chain.

    Raises NodeError where there is nothing to step back to; then nothing was written.
    """
    anchor = _last_common(chain, node)
    gone = _gone(chain, node, anchor)
    with transaction.atomic():
        if not recording.is_at(chain):
            return
        credit.lock_accounts_of([row.address for row in gone])
        recording.reverse_transfers(gone)
        credit.settle({row.address_id: row.address for row in gone}.values(), now)
        ChainCheckpoint.objects.filter(chain=chain, number__gt=anchor.number).delete()
        because = f"Reorganised after block {anchor.number}: {chain.cursor_number} had been read."
        Chain.objects.filter(pk=chain.pk).update(
            cursor_number=anchor.number,
            cursor_hash=anchor.hash,
            swept_number=Least("swept_number", anchor.number),
            parked_at=now,
            parked_because=because,
        )
    logger.error("%s is parked. %s %d transfers were taken back.", chain, because, len(gone))


def release(chain: Chain) -> None:
    """Staff have looked at it: it is read on from where the cursor stands."""
    Chain.objects.filter(pk=chain.pk).update(parked_at=None, parked_because="")


def _last_common(chain: Chain, node: Node) -> Block:
    """The latest place where the cursor stood that is still part of the chain."""
    for checkpoint in ChainCheckpoint.objects.filter(chain=chain).iterator():
        block = node.block(checkpoint.number)
        if block is not None and block.hash == checkpoint.hash:
            return block
    raise NodeError(f"nothing that was read of {chain} is part of it any more")


def _gone(chain: Chain, node: Node, anchor: Block) -> list[ChainTransfer]:
    """Credited transfers whose block is another one now."""
    rows = ChainTransfer.objects.filter(chain=chain, block_number__gt=anchor.number, state=CREDITED)
    rows = rows.select_related("address")
    hashes: dict[int, str] = {}
    for number in {row.block_number for row in rows}:
        block = node.block(number)
        hashes[number] = block.hash if block else ""
    return [row for row in rows if hashes[row.block_number] != row.block_hash]
