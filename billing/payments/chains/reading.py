"""What is read from a chain, whoever reads it: the watcher's process alone knows how to ask a node (`rpc`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class NodeError(Exception):
    """A node did not answer, or not with what was asked. One line; it never names the node's address."""


class WrongChain(Exception):
    """The node is one of another chain: nothing it says may be believed. One line."""


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transfer:
    """A Transfer event of a contract. Addresses have their checksum."""

    contract: str
    sender: str
    recipient: str
    units: int
    block_number: int
    block_hash: str
    log_index: int
    tx_hash: str

    @property
    def place(self) -> tuple[str, int]:
        """What it is known by."""
        return self.block_hash, self.log_index


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction."""

    block_number: int
    block_hash: str
    succeeded: bool
    transfers: Sequence[Transfer]


class Node(Protocol):
    """Reads of one chain. All raise NodeError."""

    def chain_id(self) -> int: ...

    def head(self) -> Block: ...

    def finalized(self) -> Block | None:
        """None where the chain knows no such thing."""

    def block(self, number: int) -> Block | None:
        """None where the chain is not that long."""

    def transfers(self, first: int, last: int, recipients: Sequence[str]) -> list[Transfer]:
        """Of any contract to these addresses, in blocks first to last, both included."""

    def balances(self, addresses: Sequence[str], number: int) -> Mapping[str, int]:
        """Of the chain's own coin, after that block."""

    def receipt(self, tx_hash: str) -> Receipt | None:
        """None while it is in no block."""
