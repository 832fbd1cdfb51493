"""A request is whole with its last byte, however its bytes arrive; what makes no sense is left to the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_site.serving.framing import LARGEST_HEAD, Frame
from tests.effort import examples

LARGEST_BODY = 100_000
WHOLE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length:5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nContent-Length:  12 \r\nX: y\r\n\r\nhello\r\n\r\nyou",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\na;b=c\r\n0123456789\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n0\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    b"POST / HTTP/1.0\r\nX-Content-Length: 7\r\nContent-Length: 1\r\n\r\n.",
]
LEFT_TO_THE_PARSER = [
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: miracles\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
    b"\x16\x03\x01\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
]


def fed(*parts: bytes) -> Frame:
    frame = Frame(LARGEST_BODY)
    for part in parts:
        frame.feed(part)
    return frame


@given(st.sampled_from(WHOLE), st.data())
@examples(100, 2000)
def test_whole_with_the_last_byte_and_not_before(request: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, len(request) - 1), unique=True, max_size=12)))
    parts = [request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]
    assert fed(*parts).whole
    before = fed(*parts[:-1], parts[-1][:-1])
    assert (before.whole, before.refused) == (False, 0)


@pytest.mark.parametrize("request_", WHOLE)
def test_what_comes_behind_does_not_matter(request_: bytes) -> None:
    assert fed(request_ + WHOLE[0]).whole


@pytest.mark.parametrize("request_", LEFT_TO_THE_PARSER)
def test_what_makes_no_sense_is_not_waited_for(request_: bytes) -> None:
    assert fed(request_).whole and fed(*(request_[at : at + 1] for at in range(len(request_)))).whole


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b"GET / HTTP/1.1\r\nX: " + b"x" * LARGEST_HEAD], 431),
        ([b"GET / HTTP/1.1\r\nX: ", b"x" * LARGEST_HEAD, b"\r\n\r\n"], 431),
        ([b"POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\n"], 413),
        ([b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"], 413),
        ([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"fffff\r\n", b"x" * 100_000], 413),
    ],
)
def test_what_is_too_large_is_refused_before_it_has_come(parts: list[bytes], status: int) -> None:
    frame = fed(*parts)
    assert (frame.refused, frame.whole) == (status, False)


def test_whoever_expects_to_be_asked_for_the_body_is_asked_once() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
    assert fed(head).expects_continue
    assert not fed(head + b"h").expects_continue
    assert not fed(WHOLE[2][:-1]).expects_continue
