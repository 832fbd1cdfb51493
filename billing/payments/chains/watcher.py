"""One look at a chain: what has become sure since the last one is credited, and the cursor moves on with it.

Blocks are sure that `confirmations` others follow. The cursor is a number and a hash: a number alone would not see that
the chain behind it became another one. No HTTP happens within a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from billing.models import Chain, DepositAddress
from billing.models.payments.chains.chain import STALE_AFTER
from billing.payments.chains import recording, refunds, reorganisation
from billing.payments.chains.reading import Block, Node, NodeError, Transfer, WrongChain
from billing.payments.chains.recording import Found
from billing.postgres.session_locks import held_alone

CHUNK: Final = 500
"""Blocks that are read at once."""
SWEPT_BLOCKS: Final = 5_000
"""Addresses of long ago are read once in so many blocks: they cost a look no more with the years."""
BALANCE_BLOCKS: Final = 300
"""The chain's own coin is looked for once in so many blocks: that is a call an address, and for a list alone."""
LOCK: Final = 0x63686169
"""First key of the advisory lock; the second one is the chain's row."""
logger = logging.getLogger(__name__)


class Look(Enum):
    """How a look at a chain ended."""

    OFF = "off"
    """The chain is disabled or parked."""
    BUSY = "busy"
    """Another process is at it."""
    NOTHING_NEW = "nothing new"
    READ = "read"
    """There may be more to read at once."""
    MOVED = "moved"
    """The chain changed while it was read: nothing was kept."""
    REORGANISED = "reorganised"
    """It changed behind the cursor: the chain is parked."""


def verify(chain: Chain, node: Node) -> None:
    """Raises WrongChain for a node of another chain, by its id and its first block; NodeError where it says neither."""
    _check_id(chain, node)
    genesis = node.block(0)
    if genesis is None or genesis.hash != chain.genesis_hash:
        raise WrongChain(f"the node of {chain} has another genesis block than {chain.genesis_hash}: see CHAIN_RPC_URLS")


def tick(chain: Chain, node: Node, now: datetime) -> Look:
    """Look once. Killed at any line, or run twice, it leaves what another look completes.

    Raises NodeError and WrongChain; then nothing was written.
    """
    # It spares work: what decides is the cursor, compared when it is moved.
    with held_alone(LOCK, chain.pk) as alone:
        if not alone:
            return Look.BUSY
        chain.refresh_from_db()
        if not chain.is_enabled or chain.parked_at is not None:
            return Look.OFF
        _check_id(chain, node)
        # The head before the addresses: one that is given out later is paid in blocks above it.
        head = node.head()
        _note_head(chain, head, now)
        look = _begin(chain, node, head) if chain.cursor_number is None else _read_on(chain, node, head, now)
        if look in (Look.READ, Look.NOTHING_NEW):
            chain.refresh_from_db()
            refunds.confirm_sent(chain, node, now)
            _note_read(chain, head, now)
        return look


def note_failure(chain: Chain, now: datetime) -> None:
    """The chain could not be read. Once that has lasted, it is stalled."""
    if chain.read_at is None or now - chain.read_at > STALE_AFTER:
        Chain.objects.filter(pk=chain.pk, stalled_since=None).update(stalled_since=now)


def _read_on(chain: Chain, node: Node, head: Block, now: datetime) -> Look:
    assert chain.cursor_number is not None
    at_cursor = node.block(chain.cursor_number)
    if at_cursor is None:
        return Look.NOTHING_NEW  # a node that lags behind the one that was asked before
    if at_cursor.hash != chain.cursor_hash:
        reorganisation.step_back(chain, node, now)
        return Look.REORGANISED
    sure = _sure(chain, node, head)
    upto = min(sure, chain.cursor_number + CHUNK)
    if upto <= chain.cursor_number and head.hash == chain.head_hash:
        return Look.NOTHING_NEW
    close = recording.watched_closely(chain, now)
    if upto > chain.cursor_number:
        # Old blocks' balances are asked of nobody: most nodes forget them.
        with_balances = upto == sure and upto // BALANCE_BLOCKS > chain.cursor_number // BALANCE_BLOCKS
        found = _read(node, chain.cursor_number + 1, upto, close, with_balances=with_balances)
        if found is None or not recording.keep(chain, found, now):
            return Look.MOVED
        if upto < sure:
            return Look.READ
    recording.show(chain, _transfers(node, max(upto, sure) + 1, head.number, close), close)
    return _sweep(chain, node, now) if upto > chain.cursor_number else Look.NOTHING_NEW


def _sweep(chain: Chain, node: Node, now: datetime) -> Look:
    """Read all addresses, those of long ago among them, in many blocks at once."""
    chain.refresh_from_db()
    assert chain.cursor_number is not None and chain.swept_number is not None
    if chain.cursor_number - chain.swept_number < SWEPT_BLOCKS:
        return Look.READ
    found = _read(node, chain.swept_number + 1, chain.swept_number + SWEPT_BLOCKS, recording.all_of(chain))
    return Look.READ if found is not None and recording.keep(chain, found, now, is_sweep=True) else Look.MOVED


def _read(
    node: Node, first: int, last: int, addresses: Mapping[str, DepositAddress], *, with_balances: bool = False
) -> Found | None:
    """None where the chain became another one while it was read."""
    before = node.block(last)
    if before is None:
        return None
    transfers = _transfers(node, first, last, addresses)
    balances = _balances(node, addresses, last) if with_balances else {}
    after = node.block(last)
    return Found(first, before, transfers, balances, addresses) if after == before else None


def _balances(node: Node, addresses: Mapping[str, DepositAddress], number: int) -> Mapping[str, int]:
    """Nothing where the node has forgotten them: they are for a list alone, and must not hold up money."""
    try:
        return node.balances(list(addresses), number)
    except NodeError:
        return {}


def _transfers(node: Node, first: int, last: int, addresses: Mapping[str, DepositAddress]) -> list[Transfer]:
    if not addresses or first > last:
        return []
    found = node.transfers(first, last, list(addresses))
    return [each for each in found if each.recipient in addresses and first <= each.block_number <= last]


def _sure(chain: Chain, node: Node, head: Block) -> int:
    """The last block that counts."""
    sure = head.number - chain.confirmations
    if chain.use_finalized:
        finalized = node.finalized()
        sure = min(sure, finalized.number if finalized else -1)
    return sure


def _begin(chain: Chain, node: Node, head: Block) -> Look:
    """Nobody was given an address before: what lies below is nothing of ours."""
    block = node.block(max(_sure(chain, node, head), 0))
    if block is None:
        return Look.MOVED
    recording.move_cursor(chain, block)
    Chain.objects.filter(pk=chain.pk).update(swept_number=block.number)
    return Look.READ


def _check_id(chain: Chain, node: Node) -> None:
    found = node.chain_id()
    if found != chain.chain_id:
        raise WrongChain(f"the node of {chain} is one of chain {found}, not {chain.chain_id}: see CHAIN_RPC_URLS")


def _is_stale(head: Block, now: datetime) -> bool:
    return now - head.at > STALE_AFTER


def _note_head(chain: Chain, head: Block, now: datetime) -> None:
    row = Chain.objects.filter(pk=chain.pk)
    row.update(head_number=head.number, head_at=head.at)
    if _is_stale(head, now) and row.filter(stalled_since=None).update(stalled_since=now):
        logger.error("%s is stalled: its newest block %d is of %s", chain, head.number, head.at)


def _note_read(chain: Chain, head: Block, now: datetime) -> None:
    """Only a look that ended well counts: a node may tell its head, and refuse to tell transfers."""
    since = chain.stalled_since if _is_stale(head, now) else None
    Chain.objects.filter(pk=chain.pk).update(head_hash=head.hash, read_at=now, stalled_since=since)
