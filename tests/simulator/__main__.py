"""python -m tests.simulator --histories 5000 --seed 1: histories on private engines; says which seed breaks a law."""

from __future__ import annotations

import argparse
import logging
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--histories", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first history; each one's is one more")
    arguments = parser.parse_args()
    import django

    django.setup()
    logging.disable(logging.CRITICAL)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("seed_catalogue", verbosity=0)
    from tests.simulator.run import run

    return run(arguments.seed, arguments.histories)


if __name__ == "__main__":
    sys.exit(main())
