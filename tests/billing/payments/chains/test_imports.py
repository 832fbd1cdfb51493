"""Web workers carry nothing of chains: `web3` is the watcher's alone, the rest is imported where it is used."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("web3", "eth_utils", "eth_account", "bip32", "coincurve", "segno")
SERVED = """
import sys
import billing_site.wsgi
from django.urls import get_resolver
get_resolver().url_patterns
from django.test import Client
Client(headers={"host": "localhost"}).get("/health")
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


def test_a_process_that_serves_imports_none_of_it() -> None:
    own = os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings"}  # the tests' would start engines once more
    done = subprocess.run([sys.executable, "-c", SERVED, *HEAVY], capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_node_is_asked_without_letting_python_recurse_deeper() -> None:
    """JSON that is nested too deep raises then, and ends no process."""
    asked = "import sys; import billing.payments.chains.rpc; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1000"), done.stderr
