"""German texts: collect what is to be translated, and see that all of it is.

    python -m tests.programs.catalogues           write new messages into the catalogue, and compile it
    python -m tests.programs.catalogues --check   say what is missing or wrong; exit code 1 where something is

GNU gettext is not needed: Babel reads Python and writes catalogues, Django turns templates into what Babel reads.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_javascript, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ratelimit", "billing", "usage", "billing_site", "templates")
LANGUAGE = "de"
PO = ROOT / "billing_site" / "locale" / LANGUAGE / "LC_MESSAGES" / "django.po"
KEYWORDS: dict[str, tuple[object, ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
HEADER = "# German of customers' pages and mails, written by `make messages`; the words are in docs/translations.md."
UNDATED = datetime(2026, 1, 1, tzinfo=UTC)
PASSING = re.compile(
    rb'"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team|Rep[^:]*):.*\n'
)
"""Lines of the header that change without a text having changed."""
PLACEHOLDERS = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*(?:[:!][^{}]*)?\}")


def collected() -> Catalog:
    """All messages of the site, in the order of its files."""
    found = Catalog(locale=LANGUAGE)
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.suffix == ".py" and "migrations" not in path.parts:
            _add(found, name, extract_python(path.open("rb"), KEYWORDS, [], {"encoding": "utf-8"}))  # type: ignore[arg-type]
        elif path.suffix in (".html", ".txt") and "vendor" not in path.parts:
            text = templatize(path.read_text(), origin=name)
            calls = re.sub(r"\b(n?p?n?gettext)\((u?)", r"\1(", text)
            _add(found, name, extract_javascript(io.BytesIO(calls.encode()), KEYWORDS, [], {"encoding": "utf-8"}))  # type: ignore[arg-type]
    return found


def _add(catalog: Catalog, name: str, messages: Iterator[tuple[int, str, object, list[str]]]) -> None:
    for _, function, arguments, _ in messages:
        given = list(arguments) if isinstance(arguments, tuple) else [arguments]
        context = given.pop(0) if function.startswith(("pg", "np")) else None
        texts = [text for text in given[:2] if isinstance(text, str)]
        if texts and all(texts):
            id = tuple(texts) if "ngettext" in function or "npgettext" in function else texts[0]
            catalog.add(id, locations=[(name, 0)], context=context)  # type: ignore[arg-type]


def stored() -> Catalog:
    catalog = Catalog(locale=LANGUAGE)
    if PO.exists():
        with PO.open("rb") as file:
            catalog = read_po(file, locale=LANGUAGE)
    catalog.fuzzy = False  # of the header, without which Django would not know the letters
    catalog.header_comment = HEADER
    catalog.creation_date = catalog.revision_date = UNDATED  # or the same texts would be other bytes a minute later
    return catalog


def compiled(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def update() -> None:
    catalog = stored()
    catalog.update(collected(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    PO.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=120, omit_header=False, include_lineno=False, sort_output=True)
    PO.write_bytes(PASSING.sub(b"", buffer.getvalue()))
    PO.with_suffix(".mo").write_bytes(compiled(stored()))


def faults() -> list[str]:
    """What is missing or wrong, a line each."""
    known = stored()
    found = [fault for message in collected() if message.id for fault in _faults(message, known)]
    present = {(message.id, message.context) for message in collected()}
    found += [f"nobody says it any more: {m.id!r}" for m in known if m.id and (m.id, m.context) not in present]
    if not found and PO.with_suffix(".mo").read_bytes() != compiled(known):
        found.append(f"{PO.with_suffix('.mo').relative_to(ROOT)} is not what the .po says: run `make messages`")
    return found


def _faults(message: Message, known: Catalog) -> Iterator[str]:
    id = message.id if isinstance(message.id, str) else message.id[0]
    german = known.get(id, message.context)
    texts = [] if german is None else [german.string] if isinstance(german.string, str) else list(german.string)
    if german is None or not all(texts) or not texts:
        yield f"no German: {message.id!r} ({message.locations[0][0]})"
        return
    if german.fuzzy:
        yield f"fuzzy: {message.id!r}"
    wanted = set(PLACEHOLDERS.findall(message.id if isinstance(message.id, str) else message.id[1]))
    for text in texts[-1:]:
        if set(PLACEHOLDERS.findall(text)) != wanted:
            yield f"other placeholders: {message.id!r} and {text!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    settings.configure()  # templates are parsed; nothing of the site is
    if not parser.parse_args().check:
        update()
    found = faults()
    for fault in found:
        print(fault)
    print(f"{len(found)} faults" if found else "every message has its German")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
