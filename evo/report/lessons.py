"""Lessons for the brief: a few lines that bear on the next child of the best experiment.

Invariant: read-only and bounded; what nobody has written is derived from the row itself, as `evo lessons` does from all
facts.
"""

from __future__ import annotations

import math
from typing import Any

from evo.domain.experiment import ROOT, Experiment
from evo.ideas.facts import Node
from evo.ideas.insight import verdict
from evo.session import Session
from evo.store import experiments, listings, meta

RECALLED = "recalled_lessons"
"""What `evo init` has brought from earlier workspaces."""
LONGEST = 200


def lesson_lines(session: Session, about: str, *, limit: int) -> list[str]:
    """Of `about` and its ancestors, the nearest first, then of what was given up beside and below it, then of earlier
    workspaces."""
    here = experiments.get(session.db, about)
    line = [here, *experiments.ancestors(session.db, about)]
    known = {each.id: each for each in line}
    given_up = listings.given_up(session.db, [about, here.parent or ROOT], limit=limit)
    found = [_line(each, known.get(each.parent or ""), "") for each in line if each.id != ROOT]
    found += [_line(each, known.get(each.parent or ""), f"{each.state}, ") for each in given_up]
    kept: list[dict[str, Any]] = meta.get(session.db, RECALLED, default=[])
    found += [f"{lesson['text']} (from {lesson['origin']})"[:LONGEST] for lesson in kept]
    return [each for each in found if each][:limit]


def _line(one: Experiment, parent: Experiment | None, how: str) -> str:
    text = one.insight or one.state_reason or _derived(one, parent)
    return f"{one.id} ({how}{one.technique}): {' '.join(text.split())}"[:LONGEST] if text else ""


def _derived(one: Experiment, parent: Experiment | None) -> str:
    if parent is None or one.gain is None or one.epoch != parent.epoch:
        return ""
    before = 0.0 if parent.id == ROOT else parent.gain
    if before is None:
        return ""
    own = one.gain_var or 0.0
    error = math.sqrt(own + (parent.gain_var or own))
    node = Node(one.id, parent.id, 0, one.state, one.recipe, one.technique, {}, delta=one.gain - before, delta_se=error)
    return verdict(node)
