"""`make run PAYMENTS=demo`: a chain on this machine, a token on it, and the watcher, so that an invoice can be paid.

The chain is the tests' (tests/servers/chain), and so is its wallet, whose words everybody knows: nothing on it is worth
anything. `python -m billing_site.local.chain_demo <link>` pays what a payment page asks for.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from billing_site.local.engines.process import EngineError
from billing_site.local.run_alone import Refused
from billing_site.local.supervisor import Command, Supervisor

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = CHECKOUT / "tests" / "servers" / "chain"
PORT_FILE = "chain-port"
SETTINGS = ("CHAIN_XPUBS", "CHAIN_RPC_URLS")
BLOCK_SECONDS = 3
CONFIRMATIONS = 3
TOKEN = "usdc"
TRANSFER, MINT = "0xa9059cbb", "0x40c10f19"
LINK = re.compile(r"ethereum:(0x[0-9a-fA-F]{40})@(\d+)/transfer\?address=(0x[0-9a-fA-F]{40})&uint256=(\d+)")


class Missing(Exception):
    """There can be no demo chain on this machine: why, in one line."""


HOW_TO_PAY = (
    "  stablecoins: open an invoice at the dashboard, choose `Pay in USDC`, copy its page's link to a wallet, and run\n"
    "    {python} -m billing_site.local.chain_demo 'ethereum:0x…'"
)
WATCHER = [sys.executable, "manage.py", "watch_chain"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DemoChain:
    """The chain of one `make run`. Started before Django is set up, as the settings name it."""

    def __init__(self, local: Path, say: Callable[[str], None]) -> None:
        self.home, self.port, self.say = local / "chain", free_port(), say
        self.url = f"http://127.0.0.1:{self.port}"
        (local / PORT_FILE).write_text(str(self.port))

    def start(self, supervisor: Supervisor, logs: Path, descriptors: Sequence[int]) -> None:
        """Start the node and say so in the environment. Raises Missing, and Refused where chains are configured."""
        if given := [name for name in SETTINGS if os.environ.get(name)]:
            raise Refused(f"PAYMENTS=demo brings a chain of its own: unset {', '.join(given)}")
        _install(self.say)
        from tests.servers.chain import node

        self.home.mkdir(exist_ok=True)
        kept = ["--state", str(self.home / "state.json"), "--state-interval", "5", "--block-time", str(BLOCK_SECONDS)]
        argv = node.command(self.port, *kept)
        supervisor.start(
            Command("chain", argv, log=logs / "chain.log", env=os.environ, cwd=CHECKOUT, descriptors=descriptors)
        )
        try:
            node.wait_until_up(self.url)
        except OSError as error:
            raise EngineError(f"the demo chain does not answer: {error}; see {logs}/chain.log") from None
        os.environ["CHAIN_XPUBS"] = f"{node.CHAIN_ID}={node.XPUB}"
        os.environ["CHAIN_RPC_URLS"] = f"{node.CHAIN_ID}={self.url}"

    def prepare(self) -> None:
        """The token on the chain, and the rows of both. After the migrations."""
        from billing.models import Chain, ChainCheckpoint, Token
        from billing.payments.chains.addresses import checksummed
        from tests.servers.chain import node

        genesis = node.ask(self.url, "eth_getBlockByNumber", "0x0", False)["hash"]
        about = {"name": "Demo chain", "genesis_hash": genesis, "confirmations": CONFIRMATIONS}
        chain, _ = Chain.objects.get_or_create(chain_id=node.CHAIN_ID, defaults=about)
        if chain.genesis_hash != genesis:  # the kept state was lost, and the chain began anew
            ChainCheckpoint.objects.filter(chain=chain).delete()
            Chain.objects.filter(pk=chain.pk).update(genesis_hash=genesis, cursor_number=None, cursor_hash="")
        contract = checksummed(_contract(self.url))
        terms = {"chain": chain, "symbol": "USDC", "contract": contract, "decimals": 6, "currency": "USD"}
        Token.objects.update_or_create(code=TOKEN, defaults=terms)


def _install(say: Callable[[str], None]) -> None:
    """Raises Missing."""
    from tests.servers.chain import node

    try:
        node.executable()
        return
    except node.NoAnvil as missing:
        npm = shutil.which("npm")
        if npm is None:
            raise Missing(f"{missing}; npm is missing") from None
    say("installing the demo chain ...")
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"],
        cwd=TOOLS,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        node.executable()
    except node.NoAnvil:
        raise Missing(f"npm could not install the demo chain: {done.stderr.strip()[-200:]}") from None


def _contract(url: str) -> str:
    """Where the token is; deployed where the chain is new. The first contract of the first account, each time."""
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    from tests.servers.chain.node import ask, compiled

    payer = ask(url, "eth_accounts")[0]
    contract = "0x" + keccak(b"\xd6\x94" + bytes.fromhex(payer[2:]) + b"\x80")[-20:].hex()
    if ask(url, "eth_getCode", contract, "latest") == "0x":
        about = encode(["string", "string"], ["Demo Dollar", "USDC"]).hex()
        _send(url, payer, None, compiled()["TestDollar"]["bytecode"] + about)
        _send(url, payer, contract, MINT + _word(payer) + _word(hex(10**15)))
    return contract


def _send(url: str, payer: str, to: str | None, data: str) -> None:
    """Send, and wait until it is in a block. Raises RuntimeError where it failed."""
    from tests.servers.chain.node import ask

    about: dict[str, Any] = {"from": payer, "data": data, "gas": hex(3_000_000)} | ({"to": to} if to else {})
    sent = ask(url, "eth_sendTransaction", about)
    ask(url, "evm_mine")
    gives_up_at = time.monotonic() + 10
    while not (receipt := ask(url, "eth_getTransactionReceipt", sent)):
        if time.monotonic() > gives_up_at:
            raise RuntimeError("the demo chain makes no blocks")
        time.sleep(0.05)
    if receipt["status"] != "0x1":
        raise RuntimeError("the transaction has failed")


def _word(text: str) -> str:
    return f"{text[2:].lower():0>64}"


def pay(link: str, local: Path) -> str:
    """Send what an EIP-681 link asks for, from the demo wallet. Gives what was sent. Raises SystemExit."""
    from tests.servers.chain.node import CHAIN_ID, ask

    asked = LINK.fullmatch(link)
    port = local / PORT_FILE
    if asked is None or not port.exists():
        sys.exit("give the link of a payment page, in quotes, while `make run PAYMENTS=demo` runs: ethereum:0x…")
    url = f"http://127.0.0.1:{port.read_text().strip()}"
    contract, chain, address, units = asked.groups()
    if int(chain) != CHAIN_ID or ask(url, "eth_getCode", contract, "latest") == "0x":
        sys.exit(f"there is no token {contract} on chain {chain} here: nothing was sent")
    _send(url, ask(url, "eth_accounts")[0], contract, TRANSFER + _word(address) + _word(hex(int(units))))
    return f"sent {int(units) / 10**6:.2f} USDC to {address}; it counts after {CONFIRMATIONS} more blocks"


if __name__ == "__main__":
    from billing_site.local.engines import Places

    print(pay(sys.argv[1] if len(sys.argv) == 2 else "", Places(CHECKOUT).local))
