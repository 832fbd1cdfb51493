"""What beat does for subscriptions, the fence, the outbox, stored responses, and what providers of payments tell."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache

from celery import shared_task
from django.db import DatabaseError
from django.utils import timezone

from billing.erasure import erase
from billing.fence import push
from billing.members import membership
from billing.models import Erasure, StoredResponse
from billing.outbox import consumers, retention
from billing.outbox.dispatcher import Dispatcher
from billing.payments.cards import events, forgetting, refunds
from billing.payments.cards.charging import dunning, sweep
from billing.payments.cards.configured import card_gateway
from billing.postgres.clock import ClockSkewed
from billing.subscriptions import trials
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.period_end import renewal
from billing.webhooks import retention as webhook_retention
from billing.webhooks.sender import Sender

MOVING_SECONDS = 5
"""A run of the task that moves subscribers: half of the time between two, so that a worker has time for others."""
ASKING_SECONDS = 45
"""A run of a task that calls a provider of payments: while it hangs, each call takes 20 s, and runs would pile up."""
logger = logging.getLogger(__name__)


@shared_task
def apply_due_changes() -> None:
    """Renew the subscriptions that are due, with what is scheduled for them. Several at once do no harm."""
    try:
        done = renewal.renew_due(timezone.now())
    except ClockSkewed as error:
        logger.error("no subscription is renewed: %s", error)
        return
    if done.periods or done.parked or done.failed:
        logger.info("%s", done)
    if done.failed:
        logger.error("%d subscriptions could not be renewed and are tried again in a minute", len(done.failed))


@shared_task
def move_subscribers() -> None:
    """Try, or move, the subscribers of moves that staff have made. Several at once do no harm."""
    until = timezone.now() + timedelta(seconds=MOVING_SECONDS)
    try:
        for move in moves.unfinished():
            work.work_off(move, timezone.now, until)
    except ClockSkewed as error:
        logger.error("nobody is moved: %s", error)


@shared_task
def finish_erasures() -> None:
    """Finish the erasures that a process which died, or Redis being away, has left unfinished."""
    for erasure in Erasure.objects.filter(finished_at=None):
        try:
            erase.go_on(erasure, timezone.now())
        except erase.ErasureWaits as waits:
            logger.warning("%s waits: %s", erasure, waits)


@shared_task
def announce_ending_trials() -> None:
    """Tell of trials that end within three days, each once. Several at once do no harm."""
    trials.announce_ending(timezone.now())


@shared_task
def charge_cards() -> None:
    """Make the tries whose day has come, and find out about those whose answer was lost. Several at once do no harm."""
    gateway, now, goes_on = card_gateway(), timezone.now(), _for_a_while()
    dunning.tell_of_pauses(now)
    if gateway is not None:
        for step in (sweep.work_off, refunds.sweep, dunning.retry_due):
            step(gateway, now, goes_on)


def _for_a_while() -> Callable[[], bool]:
    """Whether a run that calls a provider has time for another call."""
    until = time.monotonic() + ASKING_SECONDS
    return lambda: time.monotonic() < until


@shared_task
def purge_stored_answers() -> None:
    """Delete the responses to billing writes that no Idempotency-Key returns any more."""
    StoredResponse.objects.purge(timezone.now())


@shared_task
def sweep_fences() -> None:
    """Push what a process that died between commit and push has left behind."""
    push.sweep()


@cache
def dispatcher() -> Dispatcher:
    """This worker process's, made at its first use: threads do not outlive the fork of a pool."""
    return Dispatcher(consumers.configured())


@shared_task
def dispatch_outbox() -> None:
    """Deliver what happened, on threads that this task does not wait for: a consumer that hangs keeps no task."""
    dispatcher().tick()


@cache
def webhook_sender() -> Sender:
    """As `dispatcher`."""
    return Sender()


@shared_task
def send_webhooks() -> None:
    """Send what is due, on threads that this task does not wait for: a receiver that hangs keeps no task."""
    webhook_sender().tick()


@shared_task
def every_second() -> None:
    """What must not wait, as one task: each costs beat and worker more than it does. What fails stops no other."""
    for task in (sweep_fences, dispatch_outbox, send_webhooks):
        try:
            task()
        except DatabaseError as error:
            logger.error("%s waits for PostgreSQL: %s", task.__name__, str(error).strip())
        except Exception:
            logger.exception("%s has failed", task.__name__)


@shared_task
def purge_webhooks() -> None:
    """Forget webhooks after WEBHOOKS_KEPT_DAYS, and put secrets under the present SECRET_KEY."""
    webhook_retention.purge(timezone.now())
    webhook_retention.renew_secrets(timezone.now())


@shared_task
def purge_outbox() -> None:
    """Forget messages that every consumer has got, after OUTBOX_KEPT_DAYS, invitations that have ended, and what
    providers told long ago."""
    retention.purge(timezone.now())
    membership.purge(timezone.now())
    events.purge(timezone.now())


@shared_task
def process_provider_event(row: int) -> None:
    """Apply what an event is about. Lost, or failed, it is left to the sweep."""
    if (gateway := card_gateway()) is not None:
        events.process(gateway, row, timezone.now())


@shared_task
def sweep_provider_events() -> None:
    """Process the events that wait, and let the provider forget what is to be forgotten. Several at once do no harm."""
    if (gateway := card_gateway()) is not None:
        goes_on = _for_a_while()
        events.process_waiting(gateway, timezone.now(), goes_on)
        forgetting.tell(gateway, timezone.now(), goes_on)


@shared_task
def poll_provider_events() -> None:
    """Find events that never came."""
    if (gateway := card_gateway()) is not None:
        found = events.poll(gateway, timezone.now())
        if found:
            logger.warning("%d events of the provider had not come; is its webhook set up?", found)
