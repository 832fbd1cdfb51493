"""What `make run` lays down before it serves."""

from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model

from billing_site.local import preparation


def test_the_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    made = preparation.local_password(tmp_path / "password")
    assert preparation.local_password(tmp_path / "password") == made
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert len(made) == 16


@pytest.mark.django_db
def test_the_staff_login_is_the_one_printed_whatever_became_of_it() -> None:
    preparation.ensure_staff("first")
    assert authenticate(username="staff", password="first")
    get_user_model().objects.filter(username="staff").update(is_active=False, is_staff=False)
    preparation.ensure_staff("second")
    staff = authenticate(username="staff", password="second")
    assert staff is not None
    assert staff.is_staff
    assert staff.is_superuser


@pytest.mark.django_db
def test_every_plan_gets_a_user_even_with_a_password_that_looks_like_an_option() -> None:
    from django.core.management import call_command

    call_command("seed_catalogue", verbosity=0)
    users = preparation.make_test_users("-password")
    assert [user["plan"] for user in users][:2] == ["community", "starter"]
    assert len({user["api_key"] for user in users}) == len(users)
    assert all(authenticate(username=user["username"], password="-password") for user in users)
