"""A bar chart as SVG, small enough to be written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

LABELS, BARS, FIGURES, LINE = 420, 360, 80, 26


def bars(title: str, values: Mapping[str, float], stressed: str) -> str:
    """One bar a value, the shortest first; colours that do on light and dark pages."""
    ordered = sorted(values.items(), key=lambda item: item[1])
    longest = max(values.values())
    width, height = LABELS + BARS + FIGURES, LINE * (len(ordered) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13" fill="#808080">',
        f'<text x="{LABELS}" y="{LINE - 8}" font-weight="bold">{escape(title)}</text>',
    ]
    for at, (name, value) in enumerate(ordered, start=1):
        top, length = LINE * at, max(BARS * value / longest, 1)
        colour, weight = ("#d97706", "bold") if name == stressed else ("#6b8fb5", "normal")
        parts += [
            f'<text x="{LABELS - 8}" y="{top + 17}" text-anchor="end" font-weight="{weight}">{escape(name)}</text>',
            f'<rect x="{LABELS}" y="{top + 4}" width="{length:.1f}" height="{LINE - 8}" rx="2" fill="{colour}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{top + 17}" font-weight="{weight}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
