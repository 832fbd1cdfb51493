"""Which bundled font shows which character. All are free (OFL, Apache 2.0); see fonts/README.md."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTFont

FOLDER: Final = Path(__file__).with_name("fonts")
REGULAR: Final = FOLDER / "NotoSans-Regular.ttf"
BOLD: Final = FOLDER / "NotoSans-Bold.ttf"
SHAPED: Final = {
    "hebrew": FOLDER / "NotoSansHebrew-Regular.ttf",
    "arabic": FOLDER / "NotoSansArabic-Regular.ttf",
    "devanagari": FOLDER / "NotoSansDevanagari-Regular.ttf",
    "thai": FOLDER / "NotoSansThai-Regular.ttf",
}
"""Of scripts whose letters join, change places or run from right to left."""
CJK: Final = {"cjk": FOLDER / "DroidSansFallback.ttf"}
FALLBACKS: Final = SHAPED | CJK
UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
"""In place of a character that no font has; the XML has the character itself."""


@cache
def _covered(font: Path) -> frozenset[int]:
    with TTFont(font, lazy=True) as opened:
        return frozenset(opened.getBestCmap())


def shown(text: str) -> str:
    """The text as the fonts can show it: composed, on one line, with UNKNOWN where no font has a character."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        character if _font_of(character) is not None else _replacement(character) for character in composed
    ).strip()


def needed(texts: str) -> list[str]:
    """Which of FALLBACKS the characters of `shown` texts need beside the main font, in their order there."""
    found = {_font_of(character) for character in set(texts)}
    return [name for name in FALLBACKS if name in found]


@lru_cache(4096)
def _font_of(character: str) -> str | None:
    """ "" is the main font, None none at all."""
    code = ord(character)
    if code in _covered(REGULAR):
        return "" if character.isprintable() else None
    return next((name for name, font in FALLBACKS.items() if code in _covered(font)), None)


def _replacement(character: str) -> str:
    """Nothing for what has no shape of its own, a space for other white space and controls."""
    kind = unicodedata.category(character)
    if kind in ("Cf", "Mn", "Me"):
        return ""
    return " " if kind in ("Cc", "Zs", "Zl", "Zp") else UNKNOWN
