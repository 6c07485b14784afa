"""Marks, colours and the spelling of numbers, the same in every part of the screen.

Invariant: colours are those of the terminal's own theme, and none says anything that a mark or a word does not say too.
"""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    sign: str
    style: str


MARKS = {
    "committed": Mark("◆", "bold green"),
    "open": Mark("●", "cyan"),
    "failed": Mark("✗", "red"),
    "contaminated": Mark("!", "magenta"),
    "discarded": Mark("–", "dim"),
    "pending": Mark("○", "dim"),
}
BASELINE = Mark("◇", "green")
WORSE = Mark("▼", "red")
"""An open experiment whose score is below its parent's."""
MID = Mark("◦", "bold magenta")
"""A mid-evaluation on the training curve."""
RUNNING = "yellow"
BEST = "green"
BAND = "dim green"
LOSS = "cyan"
OVER = "dim cyan"
FRAME = "dim"

Z_95 = 1.959963984540054
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def spinner(elapsed_s: float) -> str:
    """One of ten signs, ten a second."""
    return SPINNER[int(elapsed_s * 10) % len(SPINNER)]


def clock(seconds: float) -> str:
    """`1:05`, or `2:01:05` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: float) -> str:
    """A score or loss: three decimals below 10, three digits above."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


def signed(value: float) -> str:
    return f"{value:+.3f}" if abs(value) < 10 else f"{value:+.3g}"


def short_rate(value: float) -> str:
    """A learning rate: `5e-3`, `1.2e-4`; 0 as it is."""
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
