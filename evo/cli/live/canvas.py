"""A small plotting surface of braille dots, two wide and four high to a cell, with text laid over it.

Invariant: nothing is ever drawn outside; a cell has one style, that of what was drawn in it last.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of the dot in row 0..3 and column 0..1 of a cell (Unicode, braille patterns)."""
_BLANK = 0x2800


class Canvas:
    """`width` × `height` cells. Dots count from the bottom left: x to 2·width − 1, y to 4·height − 1."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._bits = [[0] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]
        self._text: dict[tuple[int, int], str] = {}

    @property
    def dots_wide(self) -> int:
        return 2 * self.width

    @property
    def dots_high(self) -> int:
        return 4 * self.height

    def dot(self, x: int, y: int, style: str) -> None:
        if not (0 <= x < self.dots_wide and 0 <= y < self.dots_high):
            return
        row, column = self.height - 1 - y // 4, x // 2
        self._bits[row][column] |= _DOTS[3 - y % 4][x % 2]
        self._styles[row][column] = style

    def line(self, start: tuple[int, int], end: tuple[int, int], style: str) -> None:
        """Every dot on the straight way from `start` to `end`."""
        (x, y), (to_x, to_y) = start, end
        length = max(abs(to_x - x), abs(to_y - y), 1)
        for i in range(length + 1):
            self.dot(round(x + (to_x - x) * i / length), round(y + (to_y - y) * i / length), style)

    def shade(self, columns: range, rows: range, style: str) -> None:
        """Every other dot of a rectangle, like a chessboard."""
        for x in columns:
            for y in rows:
                if (x + y) % 2 == 0:
                    self.dot(x, y, style)

    def write(self, x: int, y: int, text: str, style: str) -> None:
        """Characters over the cells, beginning at the one that holds dot (x, y); what does not fit is left out."""
        row, column = self.height - 1 - y // 4, x // 2
        for i, character in enumerate(text):
            if 0 <= row < self.height and 0 <= column + i < self.width:
                self._text[row, column + i] = character
                self._styles[row][column + i] = style

    def lines(self) -> list[Text]:
        """One Text for each row of cells, from the top."""
        return [self._line(row) for row in range(self.height)]

    def _line(self, row: int) -> Text:
        line = Text(no_wrap=True)
        for column in range(self.width):
            bits = self._bits[row][column]
            drawn = self._text.get((row, column)) or (chr(_BLANK + bits) if bits else " ")
            line.append(drawn, self._styles[row][column] or None)
        return line


def polyline(canvas: Canvas, points: Iterable[tuple[int, int]], style: str) -> None:
    """Straight lines from point to point; a single point is a dot."""
    last: tuple[int, int] | None = None
    for point in points:
        canvas.line(last or point, point, style)
        last = point
