"""What changes under load: the window rolls over, a plan is edited, a key revoked, a subscription changed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.programs.chaos.accounts import crowd, customer
from tests.programs.chaos.evidence import minted, read_log
from tests.programs.chaos.experiment import Lab, experiment
from tests.programs.chaos.load import Account, Call

EDIT_ACTS_SECONDS = 1.0  # a plan edited in the admin acts in every worker within a second
ROLLOVER_IN_SECONDS = 8
SMALL_QUOTA = 150
SECONDS_OF_THE_NEW_WINDOW = 1.0  # too short to spend it


def plan(code: str, **terms: object) -> None:
    from billing.models import Plan

    Plan.objects.create(code=code, name=code, rank=90, price=0, **terms)


def rolling(prefix: str) -> list[Account]:
    """The usual load, and customers whose billing period, which is their quota's window, ends during the run."""
    from billing.rules.periods import MONTH, period_start

    target = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ROLLOVER_IN_SECONDS)
    # The latest period that ends at this very day and time; only in longer months has the month before no such day.
    months = next(n for n in range(1, 49) if period_start(period_start(target, MONTH, -n), MONTH, n) == target)
    opened = period_start(target, MONTH, -months)
    plan(prefix, monthly_token_quota=SMALL_QUOTA, quota_window="billing_period")
    edges = [customer(prefix, f"rolls-{n}", prefix, opened) for n in (1, 2, 3)]
    return [*crowd(prefix)[-3:], *edges]


def both_windows_were_used(lab: Lab) -> None:
    accounts = [account.pk for account in lab.named("rolls")]
    rows = read_log(lab.site, accounts)
    windows = sorted({row.window for row in rows})
    lab.expect(len(windows) == 2, f"the window did not roll over under load: {windows}; nothing was tested")
    turn = windows[-1]
    strays = [row for row in rows if (minted(row.event) >= turn) != (row.window == turn)]
    lab.expect(not strays, "calls were charged to the wrong window", list(strays))
    for account in accounts:
        calls = [call for call in lab.load.calls if call.account == account and call.code != "rate_limited"]
        after = [call for call in calls if turn <= call.began < turn + SECONDS_OF_THE_NEW_WINDOW]
        spent = [call for call in calls if call.ended < turn and call.code == "quota_exceeded"]
        lab.expect(bool(spent), f"account {account} had not spent its old window; nothing was tested")
        refused = [call for call in after if not call.served and call.status != call.asked_to_fail]
        lab.expect(bool(after) and not refused, f"account {account} was refused in its new window", list(refused))


@experiment("month-rollover", "the quota's window ends under load", accounts=rolling, after=both_windows_were_used)
def month_rollover(lab: Lab) -> None:
    lab.tend(ROLLOVER_IN_SECONDS)


def on_an_edited_plan(prefix: str) -> list[Account]:
    from django.utils import timezone

    plan(prefix, monthly_token_quota=10**6)
    edited = [customer(prefix, f"edited-{n}", prefix, timezone.now()) for n in (1, 2, 3)]
    for account in edited:
        account.fixed, account.plain = False, True
    return [*crowd(prefix)[:5], *edited]


@experiment("plan-edit", "a plan's quota edited down and up again, five times", accounts=on_an_edited_plan)
def plan_edit(lab: Lab) -> None:
    from billing.models import Plan

    edited = Plan.objects.get(code=lab.prefix)
    accounts = {account.pk for account in lab.named("edited")}
    for turn in range(10):
        allowed = turn % 2 == 1
        edited.monthly_token_quota = 10**6 if allowed else 0
        edited.save()
        acts_from = time.time() + EDIT_ACTS_SECONDS
        lab.tend(EDIT_ACTS_SECONDS + 0.7)
        until = time.time()
        calls = [c for c in lab.load.calls if c.account in accounts and acts_from <= c.began and c.ended <= until]
        wrong = [call for call in calls if call.ended and call.served != allowed]
        lab.expect(bool(calls), "nobody called after the edit; nothing was tested")
        lab.expect(not wrong, f"a second after the edit to {edited.monthly_token_quota}", list(wrong))


def with_keys_to_revoke(prefix: str) -> list[Account]:
    from django.utils import timezone

    losing = [customer(prefix, f"revoked-{n}", "enterprise", timezone.now()) for n in (1, 2, 3)]
    return [*crowd(prefix)[:5], *losing]


@experiment("key-revoked", "three keys revoked, one after the other", accounts=with_keys_to_revoke)
def key_revoked(lab: Lab) -> None:
    from billing.models import ApiKey

    for number in (1, 2, 3):
        account = lab.account(f"revoked-{number}")
        key = ApiKey.objects.get(account_id=account.pk)
        key.revoked = True
        key.save()
        revoked_at = time.time()
        lab.tend(1.5)
        calls = [
            call for call in lab.load.calls if call.account == account.pk and call.began > revoked_at and call.ended
        ]
        lab.expect(bool(calls), "nobody called after the key was revoked; nothing was tested")
        lab.expect(all(call.status == 401 for call in calls), "a revoked key was let in", _but(calls, 401))


def _but(calls: list[Call], status: int) -> list[Call]:
    return [call for call in calls if call.status != status]


def edited_and_revoked(prefix: str) -> list[Account]:
    """The usual load, and one customer each for an edit of the plan, a revoked key and an upgrade."""
    from django.utils import timezone

    now = timezone.now()
    plan(prefix, monthly_token_quota=10**6)
    edited, revoked = customer(prefix, "edited", prefix, now), customer(prefix, "revoked", "enterprise", now)
    upgrading = customer(prefix, "upgrading", "community", now, minute=None)
    for account in (edited, upgrading):
        account.fixed, account.plain = False, True
    return [*crowd(prefix)[:5], edited, revoked, upgrading]


def about_to_upgrade(prefix: str) -> list[Account]:
    from django.utils import timezone

    upgrading = [customer(prefix, f"upgrading-{n}", "community", timezone.now(), minute=None) for n in (1, 2, 3)]
    for account in upgrading:
        account.fixed, account.plain = False, True
    return [*crowd(prefix)[:5], *upgrading]


@experiment("subscription-changed", "three customers with a spent quota upgrade", accounts=about_to_upgrade)
def subscription_changed(lab: Lab) -> None:
    for number in (1, 2, 3):
        upgrade(lab, lab.account(f"upgrading-{number}"))


def upgrade(lab: Lab, account: Account) -> None:
    """Before: refused, and without the capability. From the answer on: served, and with it."""
    own = lab.client(account, "upgrade")
    lab.site.until(lambda: own.call("trace/expand").code == "quota_exceeded", 20, "the quota is not spent")
    before = own.call("patterns/detect")
    lab.expect(before.status == 403, "a capability that the plan lacks was used", [before])
    changed = own.send("POST", "/api/v1/billing/upgrade", {"target_plan": "business"})
    lab.expect(changed.status == 200, "the upgrade was refused", [changed])
    after = own.call("patterns/detect")
    lab.expect(after.status == 200, "the new plan does not act on the next request", [after])
    lab.tend(1)
    calls = [call for call in lab.load.calls if call.account == account.pk and call.began > changed.ended]
    refused = [call for call in calls if call.code == "quota_exceeded"]
    lab.expect(len(calls) > 1 and not refused, "refused by the old plan after the upgrade", list(refused))
