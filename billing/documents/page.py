"""A document as pages: who and when, what it comes to, the lines, the sums, how to pay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import CoreFont, FontFace, TTFFont

from billing.documents import fonts
from billing.documents.document import Document
from billing.documents.fonts import shown
from billing.documents.wording import (
    day,
    days,
    figure,
    headline,
    how_to_pay,
    party_lines,
    sums,
    tax_label,
    texts,
)

MARGIN, WIDTH = 20.0, 170.0
"""In mm, on A4."""
FOOT: Final = 14.0
BODY, SMALL, TITLE, HEADLINE = 9.0, 7.5, 22.0, 14.0
"""Sizes of text, in points."""
LINE, GAP = 4.7, 8.0
INK, GREY, HAIRLINE = (28, 30, 36), (105, 110, 120), (214, 217, 223)
PARTY_WIDTH, FACTS_WIDTH = 60.0, 50.0
SUMS_WIDTH: Final = 90.0
PAGE_COUNT: Final = "\ue000"
"""For a digit of the number of pages, which is known last. It is of private use, so no text that is `shown` has it."""
FEWEST_ON_A_PAGE: Final = 6
"""Rows of the longest descriptions."""


class Pages(FPDF):
    """Draws one document. The caller says what the file tells of itself, and writes it."""

    def __init__(self, document: Document) -> None:
        super().__init__(format="A4", enforce_compliance="PDF/A-3B")
        self.document = document
        self._page_count = PAGE_COUNT * len(str(len(document.rows) // FEWEST_ON_A_PAGE + 1))
        self.alias_nb_pages(self._page_count)
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, margin=MARGIN + FOOT / 2)
        self.set_draw_color(*HAIRLINE)
        self.set_line_width(0.2)
        self._load_fonts()
        self.add_page()
        self._title()
        self._parties()
        self._headline()
        self._lines()
        self._sums()
        self._closing()

    def footer(self) -> None:
        """On every page: the seller, the number, which page of how many."""
        self.set_y(-FOOT - LINE)
        self.line(MARGIN, self.get_y(), MARGIN + WIDTH, self.get_y())
        self.set_y(-FOOT - LINE + 2)
        self._text(SMALL, GREY)
        self.cell(WIDTH / 2, LINE, self._cut(shown(self.document.seller.name), WIDTH / 2))
        page = f"{self.document.kind.value} {self.document.number}  |  Page {self.page_no()} of {self._page_count}"
        self.cell(WIDTH / 2, LINE, page, align="R")

    def _load_fonts(self) -> None:
        self.add_font("main", "", fonts.REGULAR)
        self.add_font("main", "B", fonts.BOLD)
        others = fonts.needed("".join(texts(self.document)))
        for name in others:
            self.add_font(name, "", fonts.FALLBACKS[name])
        self.set_fallback_fonts(others, exact_match=False)
        self.set_text_shaping(not fonts.SHAPED.keys().isdisjoint(others))

    def _set_font_for_page(self, font: CoreFont | TTFFont, size: float, wrap_in_text_object: bool = True) -> str:
        """Set a font for good before a line that begins with a fallback font.

        fpdf2 sets it within the line, takes it back with the line, and believes it set: what comes next would be drawn
        in the font of before, whose glyphs have other numbers.
        """
        if not wrap_in_text_object and not self.current_font_is_set_on_page:
            self._out(super()._set_font_for_page(font, size))
        return super()._set_font_for_page(font, size, wrap_in_text_object)

    def _text(self, size: float, colour: tuple[int, int, int] = INK, style: str = "") -> None:
        self.set_font("main", style, size)
        self.set_text_color(*colour)

    def _cut(self, text: str, width: float) -> str:
        """As much of it as stands on one line."""
        if self.get_string_width(text) <= width - 2:
            return text
        while text and self.get_string_width(text + "…") > width - 2:
            text = text[:-1]
        return text + "…"

    def _block(self, lines: Iterable[str], x: float, width: float) -> None:
        for line in lines:
            self.set_x(x)
            self.multi_cell(width, LINE, line, align="L", new_x=XPos.LEFT, new_y=YPos.NEXT)

    def _title(self) -> None:
        document = self.document
        self._text(TITLE, style="B")
        self.cell(WIDTH, 11, document.kind.value, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._text(BODY, GREY)
        self.cell(WIDTH, LINE, document.number, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(GAP)

    def _parties(self) -> None:
        """Seller, buyer and dates side by side."""
        document, top = self.document, self.get_y()
        facts = [("Issued", day(document.issued_at.date()))]
        if document.due_on and document.due > 0:
            facts.append(("Due", day(document.due_on)))
        if document.credits:
            facts.append(("Credits", f"{document.credits.number} of {day(document.credits.issued_on)}"))
        bottoms = []
        for column, (label, party) in enumerate((("From", document.seller), ("Bill to", document.buyer))):
            x = MARGIN + column * PARTY_WIDTH
            self.set_y(top)
            self._text(SMALL, GREY)
            self._block([label], x, PARTY_WIDTH - 4)
            self._text(BODY, style="B")
            self._block([shown(party.name)], x, PARTY_WIDTH - 4)
            self._text(BODY)
            self._block(party_lines(party), x, PARTY_WIDTH - 4)
            bottoms.append(self.get_y())
        self.set_y(top)
        for label, fact in facts:
            x = MARGIN + WIDTH - FACTS_WIDTH
            self._text(SMALL, GREY)
            self._block([label], x, FACTS_WIDTH)
            self._text(BODY)
            self._block([fact], x, FACTS_WIDTH)
            self.ln(1.5)
        self.set_y(max(*bottoms, self.get_y()) + GAP)

    def _headline(self) -> None:
        self._text(HEADLINE, style="B")
        self.multi_cell(WIDTH, 7, headline(self.document), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(GAP / 2)

    def _lines(self) -> None:
        document, taxed = self.document, self.document.bears_tax
        heads = ["Description", "Period", *(["Tax"] if taxed else []), f"Amount ({document.currency})"]
        widths = (72, 44, 26, 28) if taxed else (92, 46, 32)
        align = ("L", "L", "L", "R") if taxed else ("L", "L", "R")
        self._text(BODY)
        with self.table(
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            col_widths=widths,
            headings_style=FontFace(emphasis="", color=GREY, size_pt=SMALL),
            line_height=LINE,
            padding=(1.8, 1),
            text_align=align,
            v_align="T",
            width=WIDTH,
        ) as table:
            table.row(heads)
            for row in document.rows:
                tax = [tax_label(row.treatment)] if taxed else []
                table.row([shown(row.description), days(row), *tax, figure(row.amount, document.currency)])

    def _sums(self) -> None:
        rows = list(sums(self.document))
        self.line(MARGIN, self.get_y(), MARGIN + WIDTH, self.get_y())
        self.ln(2)
        if self.will_page_break(len(rows) * (LINE + 2.4)):
            self.add_page()
        x = MARGIN + WIDTH - SUMS_WIDTH
        for label, figures, stands_out in rows:
            self._text(BODY + stands_out, INK if stands_out else GREY, "B" if stands_out else "")
            self.set_x(x)
            self.cell(SUMS_WIDTH - 32, LINE + 2, self._cut(label, SUMS_WIDTH - 32))
            self._text(BODY + stands_out, style="B" if stands_out else "")
            self.cell(32, LINE + 2, figures, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(GAP)

    def _closing(self) -> None:
        """How to pay, and what has to be said."""
        for label, lines in (("How to pay", how_to_pay(self.document)), ("Notes", map(shown, self.document.notes))):
            if lines := list(lines):
                self._text(SMALL, GREY)
                self._block([label], MARGIN, WIDTH)
                self._text(BODY)
                self._block(lines, MARGIN, WIDTH)
                self.ln(LINE)
