"""Events as hypothesis draws them, and one that is like most."""

from __future__ import annotations

from hypothesis import strategies as st

from billing.rules.ids import mint
from ratelimit.limits import LARGEST_NUMBER
from usage.log.events import CHARGE, GATEWAY, LATEST_MS, SETTLE, TRACK, VOID, Event, storable

NOW_MS = 1_795_000_000_000
INSTANTS = st.integers(0, LATEST_MS)
PRINTABLE = st.characters(exclude_categories=["C", "Z"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.none() | st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4).filter(storable)


@st.composite
def events(draw: st.DrawFn) -> Event:
    start = draw(st.integers(0, LATEST_MS // 1000 - 1))
    kind = draw(st.sampled_from([CHARGE, VOID, SETTLE]))
    key = draw(st.sampled_from(["", "0123456789abcdef" * 2]))
    return Event(
        charge=mint(draw(INSTANTS)),
        kind=kind,
        account=draw(st.integers(0, LARGEST_NUMBER)),
        window_start=start,
        window_end=draw(st.integers(start + 1, LATEST_MS // 1000)),
        feature=draw(st.text(PRINTABLE, max_size=50)),
        tokens=draw(st.integers(-LARGEST_NUMBER, LARGEST_NUMBER)),
        at_ms=draw(INSTANTS),
        source=draw(st.sampled_from([GATEWAY, TRACK])),
        key_prefix=draw(st.text(PRINTABLE, max_size=8)),
        metadata=draw(METADATA),
        key=key,
        fingerprint=key[::-1],
        bound=draw(st.integers(0, LARGEST_NUMBER)) if kind == SETTLE else None,
    )


CHARGED = Event(
    charge=mint(NOW_MS),
    kind=CHARGE,
    account=7,
    window_start=1_793_491_200,
    window_end=1_796_083_200,
    feature="trace_start",
    tokens=10,
    at_ms=NOW_MS,
)
