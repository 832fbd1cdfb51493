"""Pages of the admin where staff note money: what they type, see first, and press."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import User
from freezegun import freeze_time

from billing.models import MoneyIn
from tests.billing.staff import text_of
from tests.cast import Staff

NOW = "2025-11-10 12:00:00"
SEEN = re.compile(r'name="seen" value="([^"]*)"')


def press(staff: Staff, page: str, **fields: Any) -> Any:
    with freeze_time(NOW):
        return staff.client.post(f"/admin/{page}/", fields, follow=True)


def confirm(staff: Staff, page: str, **fields: Any) -> Any:
    """Look at what it does, and do it."""
    shown = text_of(press(staff, page, **fields))
    seen = SEEN.search(shown)
    assert seen is not None, shown
    return press(staff, page, **fields, seen=seen[1])


def of_user(name: str, action: str) -> str:
    return f"auth/user/{User.objects.get(username=name).pk}/{action}"


def of_money(row: MoneyIn, action: str) -> str:
    return f"billing/moneyin/{row.pk}/{action}"


def errors(response: Any) -> str:
    return str(response.context["form"].errors)
