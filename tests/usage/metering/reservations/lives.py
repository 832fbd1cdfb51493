"""A process of agents that go on until they are stopped: `python -m … ACCOUNT THREADS`.

Each thread lives one reservation after another: reserves, lets children draw, sends heartbeats, settles, releases, or
forgets it. A law that a thread finds broken ends the process with 3.
"""

from __future__ import annotations

import os
import random
import sys
import threading

import django

django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from billing.entitlements.callers import Caller  # noqa: E402
from usage.metering.admit import standing  # noqa: E402
from usage.metering.reservations import finishing, opening, progress, sweep  # noqa: E402
from usage.metering.reservations.ends import Report  # noqa: E402
from usage.metering.reservations.held import Held  # noqa: E402
from usage.metering.reservations.opening import Asked  # noqa: E402
from usage.metering.reservations.refusals import ReservationRefused  # noqa: E402

ACCOUNT, THREADS = int(sys.argv[1]), int(sys.argv[2])
FEATURE = "trace_start"


def reserve(dice: random.Random, parent: str = "") -> Held:
    asked = Asked(FEATURE, tokens=dice.randrange(1, 6), parent=parent, expires_in=dice.choice([1, 1, 60]))
    return opening.reserve(Caller(ACCOUNT), asked, timezone.now())[1]


def end(held: Held, dice: random.Random) -> None:
    how = dice.random()
    if how < 0.6:
        finishing.settle(held, Report({"tokens": dice.randrange(0, 9)}), timezone.now())
    elif how < 0.7:
        finishing.settle(held, Report(None, "aborted"), timezone.now())
    elif how < 0.85:
        finishing.release(held, timezone.now())


def live(dice: random.Random) -> None:
    held = reserve(dice)
    if dice.random() < 0.4:
        child = reserve(dice, held.id)
        end(child, dice)
    if dice.random() < 0.5:
        progress.heartbeat(held, {"tokens": dice.randrange(0, 9)}, timezone.now())
    if dice.random() < 0.2:
        sweep.expire_due(timezone.now())
    end(held, dice)


def go_on(number: int) -> None:
    dice = random.Random(os.getpid() * 1_000 + number)
    while True:
        try:
            live(dice)
        except ReservationRefused:
            quota = standing(ACCOUNT, timezone.now()).quota
            if quota.limit.maximum is not None and quota.used > quota.limit.maximum:
                print(f"{quota.used} of {quota.limit.maximum} are used", file=sys.stderr)
                os._exit(3)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(4)
        finally:
            connection.close()


print("begun", flush=True)
for each in range(THREADS):
    threading.Thread(target=go_on, args=(each,), daemon=True).start()
threading.Event().wait()
