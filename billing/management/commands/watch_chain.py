"""manage.py watch_chain: see what is paid on a chain, until it is stopped."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from billing.models import Chain
from billing.payments.chains import watcher
from billing.payments.chains.configuration import rpc_url_of
from billing.payments.chains.reading import Node, NodeError, WrongChain
from billing.payments.chains.watcher import Look

logger = logging.getLogger(__name__)
BETWEEN_SECONDS = 3.0
RETRY_SECONDS = 10.0


class Command(BaseCommand):
    help = "See what is paid in stablecoins: read every enabled chain, or those named, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("chain_id", nargs="*", type=int, help="such as 1; all enabled chains where none is named")
        parser.add_argument("--once", action="store_true", help="read what there is and end")

    def handle(self, *args: Any, **options: Any) -> None:
        nodes = _nodes(options["chain_id"])
        if options["once"]:
            for chain, node in nodes:
                self._read_all(chain, node)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        watchers = [threading.Thread(target=_watch, args=(chain, node, stop)) for chain, node in nodes]
        for each in watchers:
            each.start()
        for each in watchers:
            each.join()
        if not stop.is_set():
            raise CommandError("a node is one of another chain: see the log")

    def _read_all(self, chain: Chain, node: Node) -> None:
        try:
            look = watcher.tick(chain, node, timezone.now())
            while look in (Look.READ, Look.MOVED):
                look = watcher.tick(chain, node, timezone.now())
        except (NodeError, WrongChain) as error:
            raise CommandError(f"{chain}: {error}") from None
        chain.refresh_from_db()
        self.stdout.write(f"{chain}: {look.value}, block {chain.cursor_number}")


def _nodes(chain_ids: list[int]) -> list[tuple[Chain, Node]]:
    """Each chain with its node, which is one of that chain. Raises CommandError."""
    chains = Chain.objects.filter(chain_id__in=chain_ids) if chain_ids else Chain.objects.enabled()
    found = {chain.chain_id: chain for chain in chains}
    if missing := set(chain_ids) - found.keys():
        raise CommandError(f"there is no chain {missing.pop()}: add it in the admin")
    if not found:
        raise CommandError("there is no enabled chain: add one in the admin, see docs/payments-chains.md")
    try:
        from billing.payments.chains.rpc import RpcNode
    except ImportError as error:
        raise CommandError(f"install requirements-chain.txt first ({error})") from None
    nodes: list[tuple[Chain, Node]] = []
    for chain in found.values():
        if not (url := rpc_url_of(chain)):
            raise CommandError(f"no node is named for {chain}: set CHAIN_RPC_URLS={chain.chain_id}=https://…")
        node = RpcNode(url)
        try:
            watcher.verify(chain, node)
        except WrongChain as error:
            raise CommandError(str(error)) from None
        except NodeError as error:
            logger.error("%s: %s; tried again", chain, error)
        nodes.append((chain, node))
    return nodes


def _watch(chain: Chain, node: Node, stop: threading.Event) -> None:
    """Until `stop`, or for good where the node turns out to be one of another chain."""
    well, pause, verified = True, 0.0, False
    while not stop.wait(pause):
        try:
            if not verified:
                watcher.verify(chain, node)
                verified = True
            look = watcher.tick(chain, node, timezone.now())
        except WrongChain as error:
            logger.critical("%s", error)
            return
        except Exception as error:
            # One line for each change of state; of a defect more. It is tried again: no payment may go unseen for good.
            if well:
                is_defect = not isinstance(error, (NodeError, OperationalError, InterfaceError))
                logger.error("%s is not read: %s", chain, str(error).strip(), exc_info=is_defect)
            well, pause = False, RETRY_SECONDS
            _note_failure(chain)
            continue
        if not well:
            logger.warning("%s is read again", chain)
        well, pause = True, 0.0 if look is Look.READ else BETWEEN_SECONDS


def _note_failure(chain: Chain) -> None:
    try:
        watcher.note_failure(chain, timezone.now())
    except (OperationalError, InterfaceError):
        connection.close()
