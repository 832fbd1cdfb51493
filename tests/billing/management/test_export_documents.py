"""manage.py export_documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.invoicing import credit_notes
from billing.models import Invoice
from billing.subscriptions.period_end import renewal
from tests.billing.documents.sold import make_seller, text_of
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(customer: Callable[..., Customer]) -> Customer:
    """Bob's invoices of January, before there was a seller, and of February and March; a note of 3 February."""
    with moved_by_hand("2025-01-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        make_seller()
        for month in (2, 3):
            clock.move_to(f"2025-0{month}-01T00:00:00Z")
            renewal.renew_due(datetime(2025, month, 1, tzinfo=UTC))
    february = Invoice.objects.get(number="INV-000002")
    credit_notes.credit(february, Decimal("11.90"), "goodwill", datetime(2025, 2, 3, tzinfo=UTC))
    return bob


def export(folder: Path, *options: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("export_documents", "--directory", str(folder), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_each_document_of_the_time_is_a_file_by_its_number(sold: Customer, tmp_path: Path) -> None:
    folder = tmp_path / "archive" / "2025"
    out, err = export(folder, "--from", "2025-01-01", "--to", "2025-03-01")
    assert names(folder) == ["CN-000001.pdf", "INV-000002.pdf"]
    assert "INV-000002" in text_of((folder / "INV-000002.pdf").read_bytes())
    assert out == "2 files written, 0 were there\n"
    assert "1 have no document, as there was no seller when they were issued: INV-000001" in err


def test_the_end_is_now_unless_it_is_given(sold: Customer, tmp_path: Path) -> None:
    export(tmp_path, "--from", "2025-02-01")
    assert names(tmp_path) == ["CN-000001.pdf", "INV-000002.pdf", "INV-000003.pdf"]


def test_a_second_run_writes_what_is_missing_and_nothing_else(sold: Customer, tmp_path: Path) -> None:
    export(tmp_path, "--from", "2025-02-01")
    (tmp_path / "INV-000003.pdf").unlink()
    (tmp_path / "INV-000003.part").write_bytes(b"half of it")
    (tmp_path / "INV-000002.pdf").write_bytes(b"another file")
    out, _ = export(tmp_path, "--from", "2025-02-01")
    assert out == "1 files written, 2 were there\n"
    assert names(tmp_path) == ["CN-000001.pdf", "INV-000002.pdf", "INV-000003.pdf"]
    assert (tmp_path / "INV-000002.pdf").read_bytes() == b"another file"


def test_what_differs_is_named_and_left(sold: Customer, tmp_path: Path) -> None:
    export(tmp_path, "--from", "2025-02-01")
    assert export(tmp_path, "--from", "2025-02-01", "--compare")[0] == "0 files written, 3 were there\n"
    (tmp_path / "INV-000002.pdf").write_bytes(b"another file")
    with pytest.raises(CommandError, match="1 files differ and were left: INV-000002"):
        export(tmp_path, "--from", "2025-02-01", "--compare")
    assert (tmp_path / "INV-000002.pdf").read_bytes() == b"another file"


def test_a_void_invoice_was_issued_and_is_archived(sold: Customer, tmp_path: Path) -> None:
    credit_notes.void(Invoice.objects.get(number="INV-000003"), datetime(2025, 3, 2, tzinfo=UTC))
    export(tmp_path, "--from", "2025-03-01")
    assert names(tmp_path) == ["INV-000003.pdf"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is no time"),
        (["--from", "2025-01-01", "--to", "soon"], "--to 'soon' is no time"),
        (["--from", "2025-01-01", "--to", "2025-01-01"], "--to has to lie after --from"),
    ],
)
def test_wrong_options_are_told_in_a_line(tmp_path: Path, options: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        export(tmp_path, *options)


def test_a_folder_that_cannot_be_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="file: "):
        export(tmp_path / "file", "--from", "2025-01-01")
