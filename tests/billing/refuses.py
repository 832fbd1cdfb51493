"""What the domain refuses, and what people are told of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from billing.api.sentences import to_customer
from billing.rules.refused import Refused


@contextmanager
def refuses(kind: type[Refused], sentence: str) -> Iterator[Any]:
    """The block raises such a refusal, and the sentence made of it matches."""
    with pytest.raises(kind) as refused:
        yield refused
    assert re.search(sentence, to_customer(refused.value)), to_customer(refused.value)
