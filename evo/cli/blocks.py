"""What a view is drawn with: lines and tables, plain in a pipe, styled by rich on a terminal.

Invariant: the words are the same in both; rich is imported only when standard output is a terminal that has colours.
Text that a model, a log, a page or a user wrote cannot steer the terminal: control characters are shown, not sent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from typing import TextIO

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class Text:
    """One line. `style` is a rich style; `note` follows dimmed."""

    text: str
    style: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cell:
    text: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Columns are left-aligned unless their title stands in `right`; the last column takes what room is left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    right: frozenset[str] = field(default_factory=frozenset)


Block = Text | Table
_HARMLESS = frozenset("\t\u00a0\u200c\u200d\u202f\u3000")
"""Blanks and joiners that scripts are written with."""


def printable(text: str) -> str:
    """`text` with control characters, also those that turn the writing direction, as visible escapes; tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _HARMLESS else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


WIDTH_IN_A_PIPE = 120


def width() -> int:
    """Columns of the terminal, or of a page where nobody says how wide it is."""
    return shutil.get_terminal_size((WIDTH_IN_A_PIPE, 24)).columns


def is_styled(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_blocks(blocks: Iterable[Block], stream: TextIO) -> None:
    if is_styled(stream):
        _print_rich(blocks, stream)
        return
    for block in blocks:
        for line in _plain_lines(block):
            stream.write(line.rstrip() + "\n")


def plain_text(blocks: Iterable[Block]) -> str:
    """What a pipe would carry."""
    return "\n".join(line.rstrip() for block in blocks for line in _plain_lines(block))


def _plain_lines(block: Block) -> list[str]:
    if isinstance(block, Text):
        return [printable(block.text + (f"  {block.note}" if block.note else ""))]
    rows = [list(block.columns)] + [[_words(cell) for cell in row] for row in block.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(block.columns))]

    def line(row: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if title in block.right else text.ljust(width)
            for text, width, title in zip(row, widths, block.columns, strict=True)
        ]
        return "  ".join(cells)

    return [line(row) for row in rows]


def _words(cell: str | Cell) -> str:
    return printable(cell.text if isinstance(cell, Cell) else cell)


def _print_rich(blocks: Iterable[Block], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    console = Console(file=stream, highlight=False, width=width())
    for block in blocks:
        if isinstance(block, Text):
            line = RichText(printable(block.text), style=block.style)
            if block.note:
                line.append(f"  {printable(block.note)}", style="dim")
            console.print(line, soft_wrap=True)
            continue
        table = RichTable(box=None, header_style="dim", pad_edge=False)
        last = len(block.columns) - 1
        for index, title in enumerate(block.columns):
            justify = "right" if title in block.right else "left"
            table.add_column(title, justify=justify, no_wrap=index != last, overflow="ellipsis")  # type: ignore[arg-type]
        for row in block.rows:
            table.add_row(*(RichText(_words(c), style=c.style if isinstance(c, Cell) else "") for c in row))
        console.print(table)
