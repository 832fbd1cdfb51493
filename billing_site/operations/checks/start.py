"""What a web process looks at when it starts."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Final

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from ratelimit.checks import report_engines

logger = logging.getLogger(__name__)
ENFORCEMENT: Final = "enforcement"
"""Tag of the checks of settings. They ask no engine and run before every command."""


def at_start() -> None:
    """At the start of a web process: wrong settings end it, and what is wrong with an engine is logged.

    An engine's faults are loud and stop nothing: a site that restarts in the middle of trouble must come up. They fail
    `manage.py check --deploy`, where a deployment sees them. Raises ImproperlyConfigured.
    """
    messages = run_checks(tags=[ENFORCEMENT])
    if wrong := [message for message in messages if message.is_serious()]:
        raise ImproperlyConfigured("; ".join(f"{message.id} {message.msg} {message.hint}" for message in wrong))
    for message in messages:
        logger.log(message.level, "%s %s HINT: %s", message.id, message.msg, message.hint)
    import_module(settings.ROOT_URLCONF)  # here, and not by the first request and by a check in its thread at once
    report_engines()
