"""Pages that a loop and a person write together: the loop below a line, the person wherever she likes.

Invariant: no line that a person wrote is lost, and none is changed by a byte, whatever its encoding and line ends are:
what stands above the line stays, and what she wrote below it is moved above it. Which lines are the loop's is
remembered beside the store before the page is written, so a kill in between makes none of them hers.
"""

from __future__ import annotations

from pathlib import Path

from evo.files import write_bytes

LINE = "<!-- evo loop writes below this line; what stands above it is yours -->"
KEPT = "Written below the line:"


def write(path: Path, text: str, *, memory: Path, title: str = "") -> None:
    """Write `text` below the line of the page at `path`. `memory`: the folder that remembers what was written there
    before; `title`: the first line of a page that is not there yet."""
    remembered = memory / f"{path.name}.written"
    known = read(remembered) if remembered.is_file() else None
    above, below = parted(path, title, is_known=known is not None)
    ours = _lines(below if known is None else known)
    theirs = [line for line in below.split("\n") if line.strip() and line.strip() not in ours]
    still_ours = [line for line in below.split("\n") if line.strip() in ours]
    memory.mkdir(parents=True, exist_ok=True)
    write_bytes(remembered, "\n".join([*still_ours, text]).encode("utf-8", "surrogateescape"))
    write_bytes(path, f"{kept(above, theirs)}{LINE}\n\n{text}".encode("utf-8", "surrogateescape"))


def read(path: Path) -> str:
    """Bytes that are no UTF-8 stand for themselves."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def is_ours(path: Path, before: str, *, memory: Path) -> bool:
    """Whether the page differs from what it was before by lines of the loop alone: what a kill has kept from git."""
    remembered = memory / f"{path.name}.written"
    if not path.is_file() or not remembered.is_file():
        return False
    (above, _, below), (above_before, _, below_before) = (text.partition(LINE) for text in (read(path), before))
    ours = _lines(read(remembered)) | _lines(below_before)
    return above.rstrip("\n") == above_before.rstrip("\n") and _lines(below) <= ours


def parted(path: Path, title: str, *, is_known: bool) -> tuple[str, str]:
    """What stands above the line and below it. A page without the line is the person's; one that had it is read line
    by line."""
    if not path.is_file():
        return (f"{title}\n\n" if title else ""), ""
    text = read(path)
    if LINE not in text and is_known:
        return "", text
    above, _, below = text.partition(LINE)
    return above, below


def kept(above: str, theirs: list[str]) -> str:
    """`above` as it is, an empty line, and `theirs`."""
    if above and not above.endswith("\n"):
        above += "\n"
    if above and above.split("\n")[-2].strip():
        above += "\n"
    heading = [KEPT, ""] if theirs and KEPT not in above else []
    return above + ("\n".join([*heading, *theirs, "", ""]) if theirs else "")


def _lines(text: str) -> set[str]:
    return {line.strip() for line in text.split("\n")}
