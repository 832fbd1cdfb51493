"""Start-up check of the environment: a misspelt variable is one that nobody reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Warning, register

from billing_site.environment import known
from billing_site.operations.checks.start import ENFORCEMENT


@register(ENFORCEMENT)
def check_variables(**_: Any) -> Iterable[CheckMessage]:
    for name, meant in known.mistaken(os.environ).items():
        hint = f"Set {meant}, or silence this (SILENCED_SYSTEM_CHECKS) where {name} is another program's."
        yield Warning(f"Nobody reads {name}; {meant} is a variable.", hint=hint, id="billing_site.W008")
