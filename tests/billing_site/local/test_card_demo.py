"""`make run PAYMENTS=demo`: what it sets up, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from billing_site.local import card_demo
from billing_site.local.run_alone import Refused

SITE = "http://127.0.0.1:8000"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (card_demo.VARIABLE, *card_demo.SETTINGS):
        monkeypatch.setenv(name, "")  # so that it is put back
    return monkeypatch


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    python = tmp_path / "card-server" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return tmp_path


@pytest.mark.parametrize(("given", "wanted"), [("", False), ("demo", True)])
def test_it_is_wanted_where_it_is_asked_for(clean: pytest.MonkeyPatch, given: str, wanted: bool) -> None:
    clean.setenv(card_demo.VARIABLE, given)
    assert card_demo.is_wanted() is wanted


def test_another_word_is_refused(clean: pytest.MonkeyPatch) -> None:
    clean.setenv(card_demo.VARIABLE, "on")
    with pytest.raises(Refused, match="PAYMENTS=demo"):
        card_demo.is_wanted()


def test_the_settings_lead_to_it_and_its_webhooks_to_the_site(clean: pytest.MonkeyPatch, installed: Path) -> None:
    argv = card_demo.lay_out(SITE, installed)
    port = argv[3]
    assert os.environ["STRIPE_API_BASE"] == f"http://127.0.0.1:{port}"
    assert os.environ["STRIPE_SECRET_KEY"].startswith("sk_test_")
    assert argv[-1] == f"{SITE}/payments/stripe/webhook"


def test_a_provider_of_ones_own_is_not_overridden(clean: pytest.MonkeyPatch, installed: Path) -> None:
    clean.setenv("STRIPE_SECRET_KEY", "sk_live_ours")
    with pytest.raises(Refused, match="unset STRIPE_SECRET_KEY"):
        card_demo.lay_out(SITE, installed)
    assert os.environ["STRIPE_SECRET_KEY"] == "sk_live_ours"


def test_where_it_is_not_installed_it_says_how(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="make card-server"):
        card_demo.lay_out(SITE, tmp_path)
