"""Ids that sort by time; that a forked child mints its own is in tests/usage/log/test_events.py."""

from __future__ import annotations

from uuid import UUID

from billing.rules.ids import MINTED_AHEAD, mint

NOW_MS = 1_760_000_000_000


def test_ids_sort_by_time_and_say_that_they_do() -> None:
    minted = [UUID(mint(NOW_MS + n)) for n in range(2 * MINTED_AHEAD)]
    assert minted == sorted(minted)
    assert len(set(minted)) == len(minted)
    assert {(each.version, each.variant) for each in minted} == {(7, "specified in RFC 4122")}
    assert minted[0].int >> 80 == NOW_MS
