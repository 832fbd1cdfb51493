"""What happens while PostgreSQL decides: facts change, workers die, the window ends, Redis comes and goes."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.evidence import Allowance
from tests.chaos.experiment import Lab, experiment
from tests.chaos.site_changes import ROLLOVER_IN_SECONDS, both_windows_were_used, edited_and_revoked, rolling, upgrade

FLAPS = 6


@experiment(
    "outage-changes",
    "a plan edited, a key revoked, an upgrade while Redis is gone",
    accounts=edited_and_revoked,
)
def outage_changes(lab: Lab) -> None:
    """Without Redis the facts are compared in PostgreSQL, so what changes acts at once."""
    from billing.models import ApiKey, Plan

    with lab.losing_redis():
        lab.site.proxy.blackhole()
    lab.tend(1)
    edited, revoked = lab.account("edited"), lab.account("revoked")
    Plan.objects.filter(code=lab.prefix).update(monthly_token_quota=0)
    ApiKey.objects.filter(account_id=revoked.pk).update(revoked=True)
    changed_at = time.time()
    upgrade(lab, lab.account("upgrading"))
    lab.tend(1)
    since = [call for call in lab.load.calls if call.began > changed_at and call.ended]
    for account, status in ((edited, 429), (revoked, 401)):
        calls = [call for call in since if call.account == account.pk]
        lab.expect(bool(calls), f"{account.role} has not called after the change; nothing was tested")
        wrong = [call for call in calls if call.status != status]
        lab.expect(not wrong, f"{account.role} was not answered with {status} after the change", list(wrong))
    lab.site.proxy.passing()


@experiment(
    "outage-workers", "each gunicorn worker and the drain killed while Redis is gone", Allowance(minutes_anew=1)
)
def outage_workers(lab: Lab) -> None:
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    lab.tend(1)
    for worker in lab.site.web_workers():
        os.kill(worker, signal.SIGKILL)
        lab.tend(3)
    lab.site.kill("drain")
    lab.site.put_back(valkey)


@experiment(
    "outage-orphaned", "all gunicorn workers killed while Redis is gone, which comes back", Allowance(slow=True)
)
def outage_orphaned(lab: Lab) -> None:
    """Nobody is left who knows of the outage, and it has to end all the same."""
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    lab.tend(1.5)
    for worker in lab.site.web_workers():
        os.kill(worker, signal.SIGKILL)
    lab.site.put_back(valkey)


@experiment(
    "outage-rollover",
    "the quota's window ends while Redis is gone",
    accounts=rolling,
    after=both_windows_were_used,
)
def outage_rollover(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.blackhole()
    lab.tend(ROLLOVER_IN_SECONDS)
    lab.site.proxy.passing()


@experiment("outage-flapping", "Redis unreachable and back, six times a second apart")
def outage_flapping(lab: Lab) -> None:
    for _ in range(FLAPS):
        with lab.losing_redis():
            lab.site.proxy.blackhole()
        lab.tend(0.6)
        lab.site.proxy.passing()
        lab.tend(0.6)
