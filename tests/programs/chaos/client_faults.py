"""Clients that mean harm, or are on a bad line."""

from __future__ import annotations

import time

from tests.programs.chaos.experiment import Lab, experiment
from tests.programs.chaos.site import SLOW_CLIENT_SECONDS
from tests.slow_clients import SENT, SlowClients

EACH = 40
SLOW_FOR_SECONDS = SLOW_CLIENT_SECONDS - 2.0
DISCONNECTED_SECONDS = 30.0


@experiment("slow-clients", f"{EACH} slow clients of each of {len(SENT)} kinds at once, until they are disconnected")
def slow_clients(lab: Lab) -> None:
    began = time.time()
    slow = SlowClients(lab.site.address, EACH)
    try:
        while time.time() < began + SLOW_FOR_SECONDS:
            slow.drip()
            lab.expect(lab.site.health() == (200, "ok"), "/health does not answer while slow clients are there")
            lab.tend(0.5)
        lab.expect(slow.still_open() == list(SENT), "slow clients were gone early; nothing was tested")
        over = time.time()

        def disconnected() -> bool:
            slow.drip()
            return not slow.still_open()

        lab.site.until(disconnected, DISCONNECTED_SECONDS, "slow clients stay connected")
    finally:
        slow.close()
    during = [call for call in lab.load.calls if began < call.ended < over]
    unanswered = [call for call in lab.load.calls if began < call.began < over and call.status <= 0 and call.ended]
    lab.expect(bool(during), "nothing was answered while slow clients were there")
    lab.expect(not unanswered, "calls were not answered while slow clients were there", list(unanswered))
