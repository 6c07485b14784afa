"""Pages that a loop and a person write together: the loop below a line, the person wherever she likes.

Invariant: no line that a person wrote is lost: what stands above the line stays, and what she wrote below it is moved
above it. Which lines are the loop's is remembered beside the store before the page is written, so a kill in between
makes none of them hers.
"""

from __future__ import annotations

from pathlib import Path

from evo.files import write_text

LINE = "<!-- evo loop writes below this line; what stands above it is yours -->"
KEPT = "Written below the line:"


def write(path: Path, text: str, *, memory: Path, title: str = "") -> None:
    """Write `text` below the line of the page at `path`. `memory`: the folder that remembers what was written there
    before; `title`: the first line of a page that is not there yet."""
    remembered = memory / f"{path.name}.written"
    known = remembered.read_text(encoding="utf-8") if remembered.is_file() else None
    above, below = parted(path, title, is_known=known is not None)
    ours = _lines(below if known is None else known)
    theirs = [line for line in below.splitlines() if line.strip() and line.strip() not in ours]
    still_ours = [line for line in below.splitlines() if line.strip() in ours]
    memory.mkdir(parents=True, exist_ok=True)
    write_text(remembered, "\n".join([*still_ours, text]))
    write_text(path, f"{kept(above, theirs)}{LINE}\n\n{text}")


def parted(path: Path, title: str, *, is_known: bool) -> tuple[str, str]:
    """What stands above the line and below it. A page without the line is the person's; one that had it is read line
    by line."""
    if not path.is_file():
        return (f"{title}\n\n" if title else ""), ""
    text = path.read_text(encoding="utf-8", errors="replace")
    if LINE not in text and is_known:
        return "", text
    above, _, below = text.partition(LINE)
    return above, below


def kept(above: str, theirs: list[str]) -> str:
    if not theirs:
        return f"{above.rstrip()}\n\n" if above.strip() else ""
    heading = [] if KEPT in above else [KEPT, ""]
    return "\n".join([above.rstrip(), "", *heading, *theirs, "", ""]).lstrip("\n")


def _lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines()}
