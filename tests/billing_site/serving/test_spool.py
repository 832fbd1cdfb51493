"""Bytes come out as they went in, whether in memory or in a file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from billing_site.serving.spool import IN_MEMORY, Spool
from tests.effort import examples

SIZES = st.integers(1, IN_MEMORY)


@given(st.lists(st.tuples(st.booleans(), SIZES), max_size=30))
@examples(50, 500)
def test_first_in_first_out(steps: list[tuple[bool, int]]) -> None:
    spool, held, number = Spool(), b"", 0
    for put, size in steps:
        if put:
            number += 1
            data = bytes([number]) * size
            spool.put(data)
            held += data
        else:
            assert spool.take(size) == held[:size]
            held = held[size:]
        assert len(spool) == len(held)
    assert spool.peek(len(held) + 1) == held
    spool.close()
    assert (len(spool), spool.take(1)) == (0, b"")
