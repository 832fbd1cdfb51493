"""What happens on the test chain: tokens, transfers, blocks, forks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from eth_utils import to_checksum_address
from web3 import HTTPProvider, Web3

import billing.payments.chains.rpc  # noqa: F401  # takes back what web3 does to the depth of recursion
from tests.servers.chain.node import ask, compiled

GAS = 1_000_000
ETHER = 10**18


class TestChain:
    """A chain that mines when it is told to. Its accounts are unlocked: payers are nobody's customers."""

    __test__ = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.web3 = Web3(HTTPProvider(url))
        self.accounts: list[str] = list(self.web3.eth.accounts)
        self.payer, self.other = self.accounts[0], self.accounts[1]
        self.dollar = self._deploy("TestDollar", "Test Dollar", "USDC")
        self.fee = self._deploy("FeeDollar")
        self.liar = self._deploy("LyingDollar")
        for token in (self.dollar, self.fee):
            self._send(token.functions.mint(self.payer, 10**15))
        self._ask("evm_setAutomine", False)
        self.mine()
        self._snapshots: dict[int, str] = {}
        self._base = self._ask("evm_snapshot")
        self._stamp = 0

    def start_anew(self) -> None:
        """As it was when the tokens were deployed."""
        for pending in self._ask("txpool_content")["pending"].values():
            for transaction in pending.values():
                self._ask("anvil_dropTransaction", transaction["hash"])
        self._ask("evm_revert", self._base)
        self._base = self._ask("evm_snapshot")
        self._snapshots.clear()
        # The head is of now, however long ago the tokens were deployed: a fork has turned back the node's clock.
        at = int(self._ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self._ask("evm_setNextBlockTimestamp", max(int(time.time()), at + 1))
        self.mine()

    @property
    def genesis_hash(self) -> str:
        return str(self._ask("eth_getBlockByNumber", "0x0", False)["hash"])

    @property
    def head(self) -> int:
        return int(self._ask("eth_blockNumber"), 16)

    def hash_of(self, number: int) -> str:
        return str(self._ask("eth_getBlockByNumber", hex(number), False)["hash"])

    def mine(self, blocks: int = 1) -> None:
        """Each block with another time than any before, so that no two forks have one block."""
        for _ in range(blocks):
            self._ask("evm_mine")

    def mine_for_forks(self, blocks: int = 1) -> None:
        """As `mine`, and any of these blocks can be the last common one of a fork."""
        for _ in range(blocks):
            self._snapshots[self.head] = self._ask("evm_snapshot")
            self._ask("evm_mine")

    def fork(self, common: int) -> None:
        """The blocks above `common` are gone, and what was in them with them; what follows has other hashes."""
        self._ask("evm_revert", self._snapshots[common])
        self._snapshots = {number: each for number, each in self._snapshots.items() if number < common}
        self._stamp += 1
        at = int(self._ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self._snapshots[common] = self._ask("evm_snapshot")
        self._ask("evm_setNextBlockTimestamp", at + 1 + self._stamp)

    def pay(self, to: str, units: int, token: Any = None, sender: str = "", **about: Any) -> str:
        """A transfer that the next block holds; gives its transaction's hash."""
        call = (token or self.dollar).functions.transfer(to_checksum_address(to), units)
        return self._send(call, sender, **about)

    def mint(self, to: str, units: int) -> str:
        """New dollars, from nobody."""
        return self._send(self.dollar.functions.mint(to, units))

    def pay_many(self, to: Sequence[str], units: Sequence[int]) -> str:
        """Several transfers in one transaction."""
        return self._send(self.dollar.functions.transferMany(list(to), list(units)))

    def pay_coin(self, to: str, wei: int, **about: Any) -> str:
        """The chain's own coin."""
        sent = {"from": self.payer, "to": to, "value": wei, "gas": 100_000, **about}
        return self.web3.eth.send_transaction(sent).to_0x_hex()  # type: ignore[arg-type]

    def next_nonce(self, sender: str = "") -> int:
        return int(self.web3.eth.get_transaction_count(sender or self.payer, "pending"))  # type: ignore[arg-type]

    def balance(self, address: str, at: int) -> int:
        """What the contract says that the address holds after a block."""
        return int(self.dollar.functions.balanceOf(address).call(block_identifier=at))

    def receipt(self, tx_hash: str) -> Any:
        return self._ask("eth_getTransactionReceipt", tx_hash)

    def _send(self, call: Any, sender: str = "", **about: Any) -> str:
        return str(call.transact({"from": sender or self.payer, "gas": GAS, **about}).to_0x_hex())

    def _deploy(self, name: str, *arguments: Any) -> Any:
        about = compiled()[name]
        contract = self.web3.eth.contract(abi=about["abi"], bytecode=about["bytecode"])
        sent = contract.constructor(*arguments).transact({"from": self.payer, "gas": 5_000_000})
        address = self.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
        return self.web3.eth.contract(address, abi=about["abi"])

    def _ask(self, method: str, *parameters: Any) -> Any:
        return ask(self.url, method, *parameters)
