"""A CSV file that is sent while it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

import pytest

from billing.http.csv_file import csv_file, lines


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_is_text(text: str) -> None:
    ((read,),) = csv.reader(io.StringIO("".join(lines([[text]])), newline=""))
    assert read == f"'{text}"


def test_numbers_and_other_texts_stay() -> None:
    sent = "".join(lines([[-5, 7, "a=b", 'say "hi", Bob', "ü"]]))
    assert [*csv.reader(io.StringIO(sent, newline=""))] == [["-5", "7", "a=b", 'say "hi", Bob', "ü"]]


def test_it_is_sent_while_it_is_read() -> None:
    def endless() -> Iterator[list[int]]:
        while True:
            yield [1]

    response = csv_file("numbers.csv", endless())
    assert next(iter(islice(response.streaming_content, 1))).startswith(b"1\r\n1\r\n")
    assert response["Content-Disposition"] == 'attachment; filename="numbers.csv"'
