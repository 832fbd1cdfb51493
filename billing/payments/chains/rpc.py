"""A node asked over JSON-RPC, with web3. Imported by the watcher's process alone: it is 100 MB and takes a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import BlockNotFound, TransactionNotFound, Web3Exception, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware

from billing.payments.chains.reading import Block, NodeError, Receipt, Transfer

# py_ecc, which web3 brings along, raises it to 100,000: JSON of such a depth would end the process instead of raising.
sys.setrecursionlimit(1_000)
TIMEOUT_SECONDS: Final = 20
ADDRESSES_A_CALL: Final = 200
TRANSFER: Final = Web3.to_hex(Web3.keccak(text="Transfer(address,address,uint256)"))
T = TypeVar("T")


class RpcNode:
    """See `reading.Node`."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        provider = HTTPProvider(url, request_kwargs={"timeout": timeout_seconds}, exception_retry_configuration=None)
        self._web3 = Web3(provider)
        # Side chains sign their blocks in a field that is longer than Ethereum's.
        self._web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

    def chain_id(self) -> int:
        return int(_asked(lambda: self._web3.eth.chain_id))

    def head(self) -> Block:
        return self._block("latest")

    def finalized(self) -> Block | None:
        return self._block_or_none("finalized")

    def block(self, number: int) -> Block | None:
        return self._block_or_none(number)

    def transfers(self, first: int, last: int, recipients: Sequence[str]) -> list[Transfer]:
        found: list[Transfer] = []
        for start in range(0, len(recipients), ADDRESSES_A_CALL):
            topics = [TRANSFER, None, [_as_topic(each) for each in recipients[start : start + ADDRESSES_A_CALL]]]
            found += self._logs(first, last, topics)
        return found

    def balances(self, addresses: Sequence[str], number: int) -> Mapping[str, int]:
        balance = self._web3.eth.get_balance
        return {each: int(_asked(lambda each=each: balance(each, number))) for each in addresses}  # type: ignore[misc]

    def receipt(self, tx_hash: str) -> Receipt | None:
        try:
            found: Any = _asked(lambda: self._web3.eth.get_transaction_receipt(tx_hash))  # type: ignore[arg-type]
        except _NotThere:
            return None
        transfers = [transfer for log in found["logs"] if (transfer := _transfer(log)) is not None]
        return Receipt(found["blockNumber"], Web3.to_hex(found["blockHash"]), found["status"] == 1, transfers)

    def _block(self, which: Any) -> Block:
        found: Any = _asked(lambda: self._web3.eth.get_block(which))
        return Block(found["number"], Web3.to_hex(found["hash"]), datetime.fromtimestamp(found["timestamp"], UTC))

    def _block_or_none(self, which: Any) -> Block | None:
        try:
            return self._block(which)
        except _NotThere:
            return None

    def _logs(self, first: int, last: int, topics: list[Any]) -> list[Transfer]:
        """In halves where the node finds the whole too much, whatever it calls that."""
        asked: Any = {"fromBlock": first, "toBlock": last, "topics": topics}
        try:
            logs: Any = _asked(lambda: self._web3.eth.get_logs(asked))
        except _Declined:
            if first == last:
                raise
            middle = (first + last) // 2
            return self._logs(first, middle, topics) + self._logs(middle + 1, last, topics)
        return [transfer for log in logs if (transfer := _transfer(log)) is not None]


class _NotThere(NodeError):
    """There is no such block or transaction."""


class _Declined(NodeError):
    """The node has answered that it does not do this."""


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except (BlockNotFound, TransactionNotFound):
        raise _NotThere("the node knows no such block or transaction") from None
    except Web3RPCError as error:
        said = (error.rpc_response or {}).get("error", {})
        raise _Declined(f"the node declines: {said.get('message', 'without a reason')!s:.200}") from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise NodeError(f"the node answers {status}") from None
    except requests.RequestException as error:
        raise NodeError(f"the node does not answer: {type(error).__name__}") from None
    except (Web3Exception, ValueError, KeyError, TypeError) as error:
        raise NodeError(f"the node's answer cannot be read: {type(error).__name__}") from None


def _transfer(log: Any) -> Transfer | None:
    """None for what is no transfer of units, such as that of a collectible."""
    topics, data = [bytes(topic) for topic in log["topics"]], bytes(log["data"])
    if log.get("removed") or len(topics) != 3 or Web3.to_hex(topics[0]) != TRANSFER or len(data) != 32:
        return None
    return Transfer(
        contract=Web3.to_checksum_address(log["address"]),
        sender=_of_topic(topics[1]),
        recipient=_of_topic(topics[2]),
        units=int.from_bytes(data),
        block_number=log["blockNumber"],
        block_hash=Web3.to_hex(log["blockHash"]),
        log_index=log["logIndex"],
        tx_hash=Web3.to_hex(log["transactionHash"]),
    )


def _as_topic(address: str) -> str:
    return f"0x{address[2:].lower():0>64}"


def _of_topic(topic: bytes) -> str:
    return str(Web3.to_checksum_address(topic[-20:]))
