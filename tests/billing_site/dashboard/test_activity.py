"""The activity page: a sentence for each kind of thing that happens to an account."""

from __future__ import annotations

from billing.outbox.kinds import Happened
from billing_site.dashboard import activity


def test_each_kind_has_a_sentence() -> None:
    unseen = {Happened.ACCOUNT_ERASED}  # whose page is gone
    assert set(Happened) - set(activity.SENTENCES) == unseen
