"""Experiments and the standings they may hold.

Invariant: every change of standing, by any writer, is a move of `MOVES`; the store's SQL is built from this table.
`running` is not a standing: a view shows it while an attempt is live.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from evo.errors import UsageError
from evo.lightdata import dataclass

Standing = Literal["pending", "open", "committed", "failed", "contaminated", "discarded"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)

MOVES: dict[Standing, frozenset[Standing]] = {
    "pending": frozenset({"open", "failed", "contaminated", "discarded"}),
    "failed": frozenset({"open", "contaminated", "discarded"}),
    "open": frozenset({"committed", "contaminated", "discarded"}),
    "committed": frozenset({"open"}),
    "contaminated": frozenset({"discarded"}),
    "discarded": frozenset(),
}
"""Moves by name; `contaminated` and `discarded` may besides go back to the former standing, and nowhere else."""

RETURNS: frozenset[Standing] = frozenset({"contaminated", "discarded"})
BARREN: frozenset[Standing] = frozenset({"pending", "discarded", "contaminated"})
"""Standings that cannot be a parent."""

ROOT = "exp_0000"
DECLARED = "declared"
"""Origin of a checkpoint that was trained elsewhere and adopted: its lineage is what a person said."""
DISCARD_CLASSES = ("build", "data", "hypothesis", "eval", "budget")


def is_legal_move(old: Standing, new: Standing, *, former: Standing | None = None) -> bool:
    """True when an experiment of standing `old` (before that: `former`) may become `new`."""
    return new in MOVES[old] or (old in RETURNS and former is not None and new == former)


def experiment_id(number: int) -> str:
    return f"exp_{number:04d}"


def parse_experiment_id(text: str) -> str:
    """The id that `text` means: `exp_0007`, `0007` and `7` are the same. UsageError for anything else."""
    match = re.fullmatch(r"(?:exp_)?(\d{1,9})", text)
    if match is None:
        raise UsageError(f"{text!r} is not an experiment id", hint="ids look like exp_0007; `evo tree` lists them")
    return experiment_id(int(match[1]))


def experiment_number(identifier: str) -> int:
    return int(identifier.removeprefix("exp_"))


@dataclass(frozen=True)
class Experiment:
    """One hypothesis with one recipe, child of another experiment. Times are ISO 8601 UTC."""

    id: str
    parent: str | None
    state: Standing
    hypothesis: str
    recipe: str
    technique: str
    params: dict[str, object]
    seed: int
    created_at: str
    former_state: Standing | None = None
    state_reason: str = ""
    start_from: str = ""
    """`base`, `parent`, or `exp_0003:label`: the weights that the recipe starts from."""
    commit: str | None = None
    branch: str = ""
    insight: str = ""
    primary_attempt: int | None = None
    """Number of the attempt whose weights a certificate would speak about."""
    score_mean: float | None = None
    score_se: float | None = None
    score_n: int | None = None
    epoch: str | None = None
    gain: float | None = None
    """Mean paired dev difference to exp_0000, direction-adjusted, in units."""
    gain_var: float | None = None
    """Sampling variance s_k² of `gain`, as the posterior uses it."""
    seeds: int = 0
    is_noop: bool = False
    has_forbidden: bool = False
    rerun_of: str | None = None
    state_class: str = ""
    """Why it was discarded: one of DISCARD_CLASSES, or empty."""
    content_hash: str | None = None
    """Of the content that was run last."""
    is_regressed: bool = False
    """Trained, and not evaluated: by mid-evaluation it is clearly worse than its parent."""
    origin: str = ""
    """DECLARED, or empty for an experiment that evo trains itself."""
