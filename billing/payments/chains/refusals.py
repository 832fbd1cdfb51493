"""What payments in stablecoins refuse."""

from __future__ import annotations

from billing.rules.refused import Refused


class ChainRefused(Refused, ValueError):
    """What was asked for cannot be done on the chain, and nothing was written."""
