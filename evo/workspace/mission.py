"""mission.md: what is to be reached, and what must hold whatever is tried.

Invariant: the constraints are the words of the section `## Constraints` as they stand there, comments left out; what
the shipped page says is nobody's word on the task.
"""

from __future__ import annotations

import re
from pathlib import Path

from evo import assets
from evo.lightdata import dataclass

NAME = "mission.md"
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Mission:
    """`is_written`: somebody has said more than the template does; `written`: all that somebody has."""

    goal: str
    constraints: str
    is_written: bool
    written: str = ""


def read_mission(root: Path) -> Mission:
    """Empty where there is no mission.md."""
    try:
        text = (root / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Mission("", "", False)
    goal, constraints = divided(text)
    return Mission(goal, constraints, bool(goal) and goal not in _templates(), added(_COMMENT.sub("", text), NAME))


def divided(text: str) -> tuple[str, str]:
    """The words under the first heading (or before any), and those of the section on constraints."""
    text = _COMMENT.sub("", text)
    headings = list(_HEADING.finditer(text))
    starts = [(0, "", 0), *((heading.end(), heading[2], len(heading[1])) for heading in headings)]
    ends = [heading.start() for heading in headings] + [len(text)]
    goal, constraints = "", ""
    for (start, title, _), end in zip(starts, ends, strict=True):
        body = text[start:end].strip()
        if re.match(r"(hard )?constraints?\b", title, flags=re.IGNORECASE):
            constraints = constraints or body
        else:
            goal = goal or body
    return goal, constraints


def added(text: str, name: str) -> str:
    """`text` of the page `name` without what `evo init` put there; empty where nothing but headings is left."""
    for page in _shipped(name):
        for block in filter(None, (each.strip() for each in page.split("\n\n"))):
            if not block.startswith(("#", "<!--")):
                text = re.sub(r"\s+".join(map(re.escape, block.split())), "", text)
    return text if _HEADING.sub("", text).strip() else ""


def _templates() -> set[str]:
    return {divided(page)[0] for page in _shipped(NAME)}


def _shipped(name: str) -> list[str]:
    folder = assets.folder("workspace_template")
    pages = (folder / kind / name for kind in ("default", "command"))
    return [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
