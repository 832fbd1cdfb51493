"""A progress bar for long commands, on a terminal only."""

from __future__ import annotations

from django.core.management.base import OutputWrapper

WIDTH = 30


class ProgressBar:
    """Draws on `stream` how much of `total` is done; nothing where the stream is no terminal, or when not `shown`."""

    def __init__(self, stream: OutputWrapper, total: int, *, shown: bool = True) -> None:
        self.stream = stream
        self.total = total
        self.done = 0
        self.shown = shown and total > 0 and stream.isatty()

    def advance(self, count: int) -> None:
        self.done += count
        if self.shown:
            # What became due meanwhile is done as well.
            share = min(self.done / self.total, 1)
            filled = round(WIDTH * share)
            bar = "#" * filled + "." * (WIDTH - filled)
            self.stream.write(f"\r[{bar}] {self.done:,} of {max(self.total, self.done):,}", ending="")
            self.stream.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        if self.shown and self.done:
            self.stream.write("")
