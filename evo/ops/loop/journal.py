"""experiments.jsonl: a line for each iteration that has ended, of every loop of the workspace.

Invariant: the loops' lines are written anew from the store, so a kill costs none; any other line, also one of a loop
that this store does not know, stays byte for byte, above them.
"""

from __future__ import annotations

import json
from typing import Any

from evo.domain.loop import Pick
from evo.files import write_bytes
from evo.ideas.secrets import masked_in
from evo.ops.loop import margin
from evo.ops.loop.stop import ended
from evo.session import Session
from evo.store import loops

JOURNAL = "experiments.jsonl"
_HASHES = ("commit", "data", "epoch", "weights")


def all_ended(session: Session) -> list[Pick]:
    return ended(loops.picks(session.db))


def write(session: Session) -> str:
    """What should be said of lines that are somebody else's; empty where there is none."""
    path = session.layout.root / JOURNAL
    rows = list(map(row_of, all_ended(session)))
    names = {name_of(each) for each in rows}
    there = margin.read(path).removesuffix("\n").split("\n") if path.is_file() else []
    theirs = [line for line in there if name_in(line) not in names]
    theirs = theirs if any(line.strip() for line in theirs) else []
    ours = [json.dumps(each, ensure_ascii=False, allow_nan=False) for each in rows]
    write_bytes(path, "".join(f"{line}\n" for line in [*theirs, *ours]).encode("utf-8", "surrogateescape"))
    return f"{JOURNAL} has lines that no loop of this workspace wrote; they stay, at its top" if theirs else ""


def row_of(pick: Pick) -> dict[str, Any]:
    """Of what a run wrote into its log, which may be anything, nothing is in it."""
    plan = pick.plan
    told = {name: value for name, value in pick.told.items() if name != "message" or pick.experiment is None}
    hashes = {name: told.pop(name) for name in _HASHES if name in told}
    row = {
        "loop": pick.loop,
        "iteration": pick.k,
        "kind": pick.kind,
        "experiment": pick.experiment,
        "parent": plan.parent,
        "recipe": plan.recipe,
        "settings": plan.settings,
        "hypothesis": plan.hypothesis,
        "why": plan.why,
        "predicted": None if plan.gain is None else [plan.low, plan.gain, plan.high],
        "outcome": pick.outcome,
        **told,
    }
    return {**masked_in(row), **hashes, "timestamp": pick.ended_at}


def name_of(known: dict[str, Any]) -> str:
    """What no two iterations share."""
    return json.dumps([known.get(name) for name in ("loop", "iteration", "outcome", "timestamp")])


def name_in(line: str) -> str:
    """Of a line of the file; empty where it is no row."""
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return name_of(found) if isinstance(found, dict) else ""
