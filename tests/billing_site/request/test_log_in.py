"""Logging in: guesses are refused before they cost a hash, and hashing leaves threads for everybody else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.test import Client

from billing_site.request import log_in
from tests.cast import Customer
from tests.outages import redis_gone

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
DOORS = ["/accounts/login/", "/admin/login/", "/api/auth/login/"]
PASSWORD = "kQ7#long-enough"


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed."""
    seen: list[str] = []
    real = MD5PasswordHasher.encode

    def encode(self: Any, password: str, salt: str) -> str:
        seen.append(password)
        return str(real(self, password, salt))

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    return seen


@pytest.fixture
def sue() -> User:
    return User.objects.create_superuser("sue", password=PASSWORD)


def try_it(door: str, name: str, password: str = "wrong", address: str = "10.0.0.1") -> Any:
    return Client(REMOTE_ADDR=address).post(door, {"username": name, "password": password})


@pytest.mark.parametrize("door", DOORS)
def test_guesses_of_one_name_end_whatever_the_address(door: str, sue: User, hashes: list[str]) -> None:
    hashes.clear()
    answers = [try_it(door, "sue", address=f"10.0.0.{n}") for n in range(30)]
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 20}
    assert len(hashes) == 10, "a guess too many costs no hash"
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert "Too many failed log-ins" in answers[-1].content.decode()
    assert try_it(door, "SUE", PASSWORD).status_code == 429, "also in capitals, and with the right password"


@pytest.mark.parametrize("door", DOORS)
def test_guesses_of_one_address_end_whatever_the_name(door: str, sue: User, hashes: list[str]) -> None:
    hashes.clear()
    answers = [try_it(door, f"name-{n}") for n in range(30)]
    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 10}
    assert len(hashes) == 20
    assert try_it(door, "sue", PASSWORD, address="10.0.0.2").status_code == 302, "other addresses log in"


def test_a_good_log_in_begins_anew(sue: User) -> None:
    for _ in range(3):
        for _ in range(9):
            assert try_it(DOORS[0], "sue").status_code == 200
        assert try_it(DOORS[0], "sue", PASSWORD).status_code == 302


@pytest.mark.parametrize("door", DOORS)
def test_hashing_leaves_threads_for_others(door: str, sue: User, alice: Customer, hashes: list[str]) -> None:
    hashes.clear()
    for _ in range(log_in.HASHES_AT_ONCE):
        assert log_in._hashing.acquire(blocking=False)  # as two threads that hash at this moment hold it
    answer = try_it(door, "sue", PASSWORD)
    assert (answer.status_code, answer["Retry-After"], hashes) == (503, "1", [])
    assert alice.api.get("/api/v1/usage/current").status_code == 200
    log_in._hashing.release()
    assert try_it(door, "sue", PASSWORD).status_code == 302


def test_without_the_cache_a_log_in_works(sue: User, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    assert try_it(DOORS[0], "sue").status_code == 200
    assert try_it(DOORS[0], "sue", PASSWORD).status_code == 302
