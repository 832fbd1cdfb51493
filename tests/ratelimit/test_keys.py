"""ratelimit/keys.py: where the keys of an account lie."""

from __future__ import annotations

from typing import Any

from ratelimit.keys import AccountKeys, keys_of


def test_the_keys_of_an_account_are_made_once(settings: Any) -> None:
    settings.RATELIMIT_SHARDS = 16
    assert keys_of(37) is keys_of(37)
    assert keys_of(37).fence == AccountKeys(37).fence == b"{s05}:v:37"


def test_they_lie_in_its_present_shard_whatever_the_process_knew_of_another_number_of_shards(settings: Any) -> None:
    """A test that simulates a site of two shards left keys to those after it, of which no call was ever found."""
    settings.RATELIMIT_SHARDS = 16
    before = keys_of(37)
    settings.RATELIMIT_SHARDS = 2
    keys, held = keys_of(37), keys_of(37).reservation("e")
    assert (keys.fence, keys.stream, held) == (b"{s01}:v:37", b"{s01}:events", b"{s01}:r:37:e")
    settings.RATELIMIT_SHARDS = 16
    assert keys_of(37) is before
