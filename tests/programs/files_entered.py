"""python -m tests.programs.files_entered: which of our files a warm metered call and an upgrade enter, and how many.

How far a reader has to walk to follow one of them. `--list` names the files.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("ratelimit", "billing", "usage", "billing_site")
ENGINES = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "METERED_TEST_RUN")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.files_entered", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the files")
    names = parser.parse_args().list
    for name in ENGINES:
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    logging.disable(logging.CRITICAL)
    for what, files in measure().items():
        print(f"{what}: {len(files)} files")
        if names:
            print("".join(f"  {file}\n" for file in sorted(files)), end="")
    return 0


def measure() -> dict[str, set[str]]:
    """The files that each enters: product code only, what is only imported left out."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from billing.models import ApiKey, Plan
    from billing.subscriptions import opening

    call_command("migrate", verbosity=0)
    call_command("seed_catalogue", verbosity=0)
    user, now = get_user_model().objects.create_user("walker"), timezone.now()
    opening.subscribe(user.pk, Plan.objects.get(code="starter"), now)
    client = Client(headers={"authorization": f"Bearer {ApiKey.issue(account=user, name='walk')[1]}"})

    def call() -> Any:
        return client.get("/api/v1/trace/start")

    def upgrade() -> Any:
        return client.post(
            "/api/v1/billing/upgrade", json.dumps({"target_plan": "pro"}), content_type="application/json"
        )

    assert call().status_code == 200
    return {"a warm metered call": entered(call), "an upgrade": entered(upgrade)}


def entered(walk: Callable[[], Any]) -> set[str]:
    """Files of ours of which a function runs meanwhile, beginning with the middleware."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        response = walk()
    finally:
        sys.setprofile(None)
    assert response.status_code == 200, (response.status_code, response.content)
    ours = (Path(name) for name in found if name.startswith(str(CHECKOUT)))
    return {str(file.relative_to(CHECKOUT)) for file in ours if file.relative_to(CHECKOUT).parts[0] in PACKAGES}


if __name__ == "__main__":
    sys.exit(main())
