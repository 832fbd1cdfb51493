"""`make run PAYMENTS=demo`: beside the site a provider of cards to try things with. No money moves."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final

from billing_site.local.run_alone import Refused
from billing_site.local.supervisor import Command

VARIABLE: Final = "PAYMENTS"
DEMO: Final = "demo"
SETTINGS: Final = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE")
SHOWN: Final = """
  cards are on, at a test provider: Billing, or Payment methods, as one of the users above
    4242 4242 4242 4242  is taken
    4000 0025 0000 3155  wants its bank's confirmation once, 4000 0027 6000 3184 each time
    4000 0000 0000 9995  is declined when it is saved, 4000 0000 0000 0341 when it is charged"""


def is_wanted() -> bool:
    """Raises Refused for another value."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", DEMO):
        raise Refused(f"{VARIABLE} is {wanted!r}: give {VARIABLE}={DEMO}, or leave it out")
    return bool(wanted)


def lay_out(site: str, local: Path) -> list[str]:
    """Point the settings at it, before Django reads them; the command line that starts it. Raises Refused."""
    if given := [name for name in SETTINGS if os.environ.get(name)]:
        raise Refused(f"{VARIABLE}={DEMO} brings a provider of its own: unset {', '.join(given)}")
    if not (local / "card-server" / "bin" / "python").exists():
        raise Refused("the test provider of cards is not installed: make card-server")
    port = _free_port()
    os.environ["STRIPE_SECRET_KEY"] = "sk_test_demo"
    os.environ["STRIPE_WEBHOOK_SECRET"] = "whsec_test_server"
    os.environ["STRIPE_API_BASE"] = f"http://127.0.0.1:{port}"
    return [sys.executable, "-m", "tests.servers.card", str(port), f"{site}/payments/stripe/webhook"]


def command(argv: list[str], *, log: Path, checkout: Path, held: int) -> Command:
    return Command("cards", argv, log=log, env=os.environ, cwd=checkout, descriptors=[held])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
