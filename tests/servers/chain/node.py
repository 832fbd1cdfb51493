"""The anvil process. It imports nothing that the site has not: the demo starts it, too."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
"""Anvil's own, known to everybody: it has the coins of every test chain, and those of no other."""
XPUB = "xpub6Ce9NcJvTk372KjsGfWqbcex5DumjpNquQLApoeQUavSCjEc823BV1tb4rXUuPuht8h2hSxkg2EXUaKUJmniJvRZAELxypsCzBFdtosmV76"
"""Of its second account (m/44'/60'/1'), which receives what is paid."""
UP_SECONDS = 30


class NoAnvil(Exception):
    """It is not installed. One line, with what to do."""


def executable() -> Path:
    """Raises NoAnvil."""
    for found in HERE.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"):
        return found
    raise NoAnvil("there is no anvil: run `npm ci --ignore-scripts` in tests/servers/chain")


@cache
def compiled() -> Any:
    """ABI and bytecode of each contract, by its name."""
    return json.loads((HERE / "tokens.json").read_text())["tokens"]


def command(port: int, *options: str) -> list[str]:
    """Raises NoAnvil."""
    fixed = ["--host", "127.0.0.1", "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC, "--silent"]
    return [str(executable()), "--port", str(port), *fixed, *options]


def ask(url: str, method: str, *parameters: Any, seconds: float = 30) -> Any:
    """One JSON-RPC call. Raises RuntimeError for an error of the node's."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as response:
        answer = json.load(response)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


class Anvil:
    """Started on a port; blocks are mined when asked for."""

    def __init__(self, port: int, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command(port, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_up(self.url)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_until_up(url: str) -> None:
    gives_up_at = time.monotonic() + UP_SECONDS
    while True:
        try:
            ask(url, "eth_chainId", seconds=1)
            return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > gives_up_at:
                raise
            time.sleep(0.01)
