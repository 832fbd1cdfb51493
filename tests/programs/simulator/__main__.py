"""python -m tests.programs.simulator --histories 5000 --seed 1: histories on private engines; broken laws by seed."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from itertools import pairwise

ENGINES = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "METERED_TEST_RUN")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.simulator", description=__doc__)
    parser.add_argument("--histories", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first history; each one's is one more")
    parser.add_argument("--processes", type=int, default=1, help="that share the histories, each on engines of its own")
    arguments = parser.parse_args()
    if min(arguments.histories, arguments.processes) < 1:
        parser.error("give at least 1")
    began = time.monotonic()
    if arguments.processes > 1:
        code = in_processes(arguments.seed, arguments.histories, arguments.processes)
    else:
        code = here(arguments.seed, arguments.histories)
    if code == 0:
        print(f"{arguments.histories} histories in {time.monotonic() - began:.0f} s: every law holds")
    return code


def here(seed: int, histories: int) -> int:
    # These histories flush what they run on, so it is never what the caller's shell names.
    for name in ENGINES:
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    logging.getLogger().handlers[:] = [logging.NullHandler()]  # each history notes what is logged among its steps
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("seed_catalogue", verbosity=0)
    from tests.programs.simulator.run import run

    return run(seed, histories)


def in_processes(seed: int, histories: int, processes: int) -> int:
    """Each has a stretch of the seeds; 0 when every law holds in all of them."""
    edges = [seed + histories * number // processes for number in range(processes + 1)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.programs.simulator", f"--seed={first}", f"--histories={following - first}"]
        )
        for first, following in pairwise(edges)
        if following > first
    ]
    return max(process.wait() for process in started)


if __name__ == "__main__":
    sys.exit(main())
