"""Refusals are codes; each has its sentence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from billing.api.sentences import NOT_MOVED, SENTENCES, TO_STAFF, to_customer, to_staff
from billing.rules.refused import Refused
from billing.subscriptions.previews import InvalidCycle
from billing.subscriptions.refusals import ActiveFeatures, ActivityUnknown, QuoteExpired, UnderReview
from billing_site.dashboard.sentences import ON_PAGES


def kinds(of: type[Refused] = Refused) -> Iterator[type[Refused]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_kind_with_a_code_has_a_sentence() -> None:
    # Those of reservations have theirs in `usage.api`; tests/usage/api/test_reservation_sentences.py.
    codes = {kind.code for kind in kinds() if kind.code and not kind.__module__.startswith("usage.")}
    assert codes >= {"not_an_upgrade", "currency_mismatch", "quote_expired"}
    assert codes <= {key.partition(".")[0] for key in [*SENTENCES, *NOT_MOVED, *ON_PAGES]}


def test_staff_are_told_more_only_of_what_customers_are_told_as_well() -> None:
    assert set(TO_STAFF) <= set(SENTENCES)


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (ActiveFeatures(["ai_agents", "investigator"]), "Cannot downgrade. Active features: ai_agents, investigator"),
        (UnderReview(reason="invoice"), "This change needs a look by our staff. Please contact support."),
        (ActivityUnknown("no Redis"), "The usage log is behind: no Redis"),
        (
            InvalidCycle(
                "cycle_ends_first",
                start=datetime(2025, 10, 31, tzinfo=UTC),
                end=datetime(2025, 10, 1, 12, 30, tzinfo=UTC),
            ),
            "The cycle ends at 2025-10-01 12:30, not after its start at 2025-10-31 00:00.",
        ),
    ],
)
def test_parameters_stand_in_the_sentence(refused: Refused, sentence: str) -> None:
    assert to_customer(refused) == sentence


def test_staff_are_told_what_they_can_do() -> None:
    assert "release it first" in to_staff(UnderReview(reason="parked"))
    assert to_staff(QuoteExpired(reason="old")) == "The preview is older than 15 minutes. This is a new one."
    assert to_customer(QuoteExpired(reason="old")) == "The quote is older than 15 minutes. Ask for a new one."


def test_a_log_has_the_code_and_the_parameters() -> None:
    assert str(UnderReview(reason="parked")) == "under_review (reason=parked)"
    assert str(Refused("nothing_scheduled")) == "nothing_scheduled"
