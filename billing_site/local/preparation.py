"""What a checkout needs before it serves: tables, catalogue, somebody to log in as."""

import io
import json
import os
import secrets
from pathlib import Path
from typing import TypedDict

from django.contrib.auth import get_user_model
from django.core.management import call_command

STAFF = "staff"


class TestUser(TypedDict):
    """One of the users that `create_test_users` made, with an API key that was made just now."""

    username: str
    plan: str
    api_key: str


def prepare_database() -> None:
    """Bring the tables and the default catalogue up to date; rows that staff edited stay as they are."""
    call_command("migrate", interactive=False, verbosity=0)
    call_command("seed_catalogue", stdout=io.StringIO())


def has_chains() -> bool:
    """Whether payments on some chain are to be watched."""
    from django.conf import settings

    if not settings.CHAIN_RPC_URLS:
        return False
    from django.db import connections

    from billing.models import Chain

    try:
        return Chain.objects.enabled().exists()
    finally:
        connections.close_all()


def local_password(path: Path) -> str:
    """The password of this checkout's logins. The first run makes it and writes it to `path`, for its owner only."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(8) + "\n")
        draft.rename(path)
    return path.read_text().strip()


def ensure_staff(password: str) -> None:
    """Make the admin's superuser, or give an existing one its rights and this password back."""
    users = get_user_model()
    address = {"email": "staff@example.com"}
    by_address = users.USERNAME_FIELD == "email"
    named = address if by_address else {users.USERNAME_FIELD: STAFF}
    staff, _ = users.objects.get_or_create(**named, defaults=address)
    if not (staff.is_superuser and staff.is_staff and staff.is_active and staff.check_password(password)):
        staff.is_superuser = staff.is_staff = staff.is_active = True
        staff.set_password(password)
        staff.save()


def make_test_users(password: str) -> list[TestUser]:
    """Make one user for each plan, or keep those there are; each gets another API key, and older keys stay valid."""
    output = io.StringIO()
    call_command("create_test_users", "--json", f"--password={password}", stdout=output)
    users: list[TestUser] = json.loads(output.getvalue())
    return users
