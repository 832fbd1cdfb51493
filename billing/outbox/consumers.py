"""Who gets the messages: the callables that OUTBOX_CONSUMERS names."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string

from billing.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)
Consumer = Callable[[OutboxMessage], None]
"""Takes one message, outside of a transaction. It has failed when it raises, and then gets the message again.

It gets a message at least once, so it remembers the `id` where twice would harm, and ends within OUTBOX_LEASE_SECONDS.
"""


def configured() -> dict[str, Consumer]:
    """Consumers by the name under which their progress is kept. Raises ImportError."""
    return {name: import_string(path) for name, path in settings.OUTBOX_CONSUMERS.items()}


def write_to_log(message: OutboxMessage) -> None:
    """One line a message, for whoever reads the site's log."""
    logger.info("account %s: %s %s", message.account_id, message.kind, message.payload)
