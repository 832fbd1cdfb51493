"""`make chaos`: run the experiments and the simulator, print the table, keep the logs; exit code 1 when one fails."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from billing_site.local.engines import EngineError
from billing_site.local.engines.places import Places
from billing_site.local.make import Make
from billing_site.local.run_alone import Refused, only_run_here
from billing_site.local.supervisor import GaveUp
from tests.programs.chaos import (
    client_faults,
    outage_faults,
    postgres_faults,
    process_faults,
    redis_faults,
    site_changes,
)
from tests.programs.chaos.evidence import Verdict
from tests.programs.chaos.experiment import EXPERIMENTS, Experiment, Impossible, run
from tests.programs.chaos.proxy import ProxyError
from tests.programs.chaos.site import CHECKOUT, Site
from tests.programs.chaos.table import Result, document, heading, line

MODULES = (
    redis_faults,
    outage_faults,
    process_faults,
    postgres_faults,
    site_changes,
    client_faults,
)  # importing them registers their experiments
SIMULATOR_ENDS_SECONDS = 20.0


class Ended(BaseException):
    """Ctrl-C, SIGTERM, or the terminal was closed."""


def main() -> int:
    arguments = parse()
    if arguments.list:
        for experiment in in_order():
            print(f"{experiment.name:<22} {experiment.what}")
        return 0
    chosen = [EXPERIMENTS[name] for name in arguments.experiments] or in_order()
    local = Places(CHECKOUT).local
    local.mkdir(parents=True, exist_ok=True)
    try:
        with only_run_here(local / "chaos.lock"):
            return make(chosen, arguments, fresh_folder(local / "chaos"))
    except Ended:
        print("\nended", flush=True)
        return 130
    except (Refused, EngineError, GaveUp, ProxyError, TimeoutError) as error:
        print(f"make chaos: {error}", file=sys.stderr, flush=True)
        return 1


def in_order() -> list[Experiment]:
    """All experiments, as their modules and the table name them."""
    modules = [module.__name__ for module in MODULES]
    return sorted(EXPERIMENTS.values(), key=lambda experiment: modules.index(experiment.inject.__module__))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.chaos", description=__doc__)
    parser.add_argument("experiments", nargs="*", choices=[*EXPERIMENTS, []], help="all of them by default")
    parser.add_argument("--list", action="store_true", help="name the experiments and end")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of load and proxy")
    parser.add_argument("--database", default="", metavar="URL", help="an empty, migrated database to use")
    parser.add_argument("--histories", type=int, default=0, help="to simulate afterwards, from the same seed on")
    parser.add_argument("--brief", action="store_true", help="each fault once, with little load before and after it")
    parser.add_argument("--document", action="store_true", help="write the table into docs/reliability.md")
    return parser.parse_args()


def fresh_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def make(chosen: list[Experiment], arguments: argparse.Namespace, logs: Path) -> int:
    """Start the site, make the experiments on it, tell what came of them."""
    ending: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not ending:
            ending.append(number)
            raise Ended

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    Make().tie_us()
    environ = dict(os.environ)  # without what the site is going to put there
    began = time.monotonic()
    print(f"seed {arguments.seed}, logs in {logs}", flush=True)
    celery = any(experiment.needs_celery for experiment in chosen) or not arguments.database
    site = Site(logs, arguments.seed, arguments.database, celery=celery)
    try:
        print("starting the site ...", flush=True)
        site.start()
        print(heading(), flush=True)
        results = [make_one(site, experiment, arguments, logs) for experiment in chosen]
    finally:
        ending.append(0)
        site.stop()
    ending.clear()
    simulated = not arguments.histories or simulate(arguments.histories, arguments.seed, environ)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    if arguments.document:
        document(CHECKOUT / "docs" / "reliability.md", results, arguments.seed, arguments.histories, simulated)
    failed = [result for result in results if result.verdict is not None and not result.verdict.passed]
    if failed:
        again = f"python -m tests.programs.chaos {failed[0].name} --seed {arguments.seed}"
        print(f"{len(failed)} failed; run one alone: {again}")
    return 1 if failed or not simulated else 0


def simulate(histories: int, seed: int, environ: dict[str, str]) -> bool:
    """Run the simulator on both cores, in a session that can be ended as one; whether every law held."""
    argv = [
        sys.executable,
        "-m",
        "tests.programs.simulator",
        f"--histories={histories}",
        f"--seed={seed}",
        "--processes=2",
    ]
    print(f"simulating {histories} histories ...", flush=True)
    simulator = subprocess.Popen(argv, cwd=CHECKOUT, env=environ, start_new_session=True)
    try:
        return simulator.wait() == 0
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(simulator.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            simulator.wait(SIMULATOR_ENDS_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(simulator.pid, signal.SIGKILL)
        raise


def make_one(site: Site, experiment: Experiment, arguments: argparse.Namespace, logs: Path) -> Result:
    """Run one experiment and print its line, with the evidence where it fails."""
    verdict: Verdict | None = None
    why = ""
    if experiment.stops_postgres and site.postgres is None:
        why = "it stops PostgreSQL, and the database is not the harness's own"
    else:
        try:
            verdict = run(site, experiment, arguments.seed, logs, brief=arguments.brief)
        except Impossible as error:
            why = str(error)
    result = Result(experiment.name, experiment.what, verdict, why)
    print(line(result), flush=True)
    for finding in verdict.findings if verdict else []:
        print(f"    {finding}", flush=True)
    return result


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    code = main()
    sys.stdout.flush()
    os._exit(code)  # clients may still wait for an answer that no server is left to give
