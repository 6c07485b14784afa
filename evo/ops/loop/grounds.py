"""What a loop may move, and what the tree says of it: one ground for each recipe.

Invariant: everything is read from the store; results of this epoch alone count, and a gain is over exp_0000, in units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from evo.config import RecipeConfig
from evo.domain.experiment import ROOT, Experiment
from evo.errors import UsageError
from evo.ideas.moves import Observation
from evo.ideas.space import Space, space_of
from evo.session import Session
from evo.store import experiments
from evo.workspace.folders import hash_files
from evo.workspace.recipes import find_folder, find_recipe, own_names
from evo.workspace.repository import RECIPE, has_branch

FOLDER = "data/loop"
"""Where rows lie that a loop has chosen."""
_BY_FILE = (("preferences.jsonl", "dpo"), ("train.jsonl", "sft"))
_REWARDED = ("grpo", "rft")
NO_RANGE = "has no parameter with a range that a loop could move"
RANGES = "evo recipe copy {}, then give its params search: [low, high] in recipe.yaml"


class Ground(NamedTuple):
    """`above_start`: the same results, each over what its run started from."""

    recipe: str
    config: RecipeConfig
    space: Space
    seen: list[Observation]
    above_start: list[Observation]
    running: list[dict[str, Any]]
    fixed: dict[str, Any]
    """Parameters without a default that a run needs: as the newest experiment had them."""

    @property
    def inherits(self) -> bool:
        """Whether a run starts from its parent's weights."""
        return self.config.init_from == "parent"

    @property
    def tried(self) -> int:
        return len(self.seen) + len(self.running)


def grounds(session: Session, names: list[str]) -> list[Ground]:
    """Those of `names` (default: `usual`) that have something to move. UsageError says what one that was named lacks,
    and why there is none at all."""
    known = list(experiments.all(session.db))
    found = [ground_of(session, name, known) for name in names or usual(session, known)]
    lacking = {ground.recipe: why for ground in found if (why := lack_of(session, ground))}
    if names and lacking:
        name, why = next(iter(lacking.items()))
        raise UsageError(f"recipe {name} {why}", hint=RANGES.format(name) if why is NO_RANGE else "evo data status")
    return [ground for ground in found if ground.recipe not in lacking]


def lack_of(session: Session, ground: Ground) -> str:
    """Why a loop can do nothing with it; empty where it can."""
    if not ground.space.axes:
        return NO_RANGE
    sources = [part.source for part in ground.config.data.train]
    local = (source for source in sources if "://" not in source and not source.startswith("artifact:"))
    missing = next((source for source in local if not (session.layout.root / source).exists()), None)
    return f"trains on {missing}, which does not exist" if missing else ""


def reasons(session: Session, names: list[str]) -> str:
    """Why there is nothing to try, in words."""
    known = list(experiments.all(session.db))
    found = [ground_of(session, name, known) for name in names or usual(session, known)]
    lacking = [f"{ground.recipe} {why}" for ground in found if (why := lack_of(session, ground))]
    if not found:
        return "there is no recipe to try: none in recipes/, none of the shipped ones fits the data"
    return "; ".join(lacking) if len(lacking) == len(found) else "every value of every recipe was tried"


def usual(session: Session, known: list[Experiment]) -> list[str]:
    """The workspace's own recipes; else those that fit its data; and what was used in the tree already."""
    own = own_names(session.layout)
    used = [one.recipe for one in known if one.id != ROOT and not one.origin]
    if own:
        return list(dict.fromkeys([*own, *(name for name in used if name in own)]))
    fitting = [name for file, name in _BY_FILE if (session.layout.data / file).is_file()]
    if session.config.model.source and (session.layout.data / "train.jsonl").is_file():
        fitting += _REWARDED
    return list(dict.fromkeys([*(fitting if session.config.model.source else []), *used]))


def ground_of(session: Session, name: str, known: list[Experiment]) -> Ground:
    config = find_recipe(session.layout, name).config
    space = space_of(config.params)
    of_recipe = [one for one in known if one.recipe == name and one.id != ROOT]
    gains = {one.id: one.gain or 0.0 for one in known}
    seen, above, running = [], [], []
    for one in of_recipe:
        if one.state == "pending":
            running.append(dict(one.params))
            continue
        if one.state == "discarded" and one.content_hash is None and is_of_older_recipe(session, one):
            continue  # it never ran, and would be another today
        counts = one.gain is not None and one.epoch == session.epoch and one.state != "contaminated"
        if not counts and one.score_mean is not None:
            continue  # a result of another epoch, or one that must not count
        start = gains.get(one.parent or ROOT, 0.0) if one.start_from == "parent" else 0.0
        gain = one.gain if counts and not one.is_regressed else None
        seen.append(Observation(dict(one.params), gain, one.gain_var or 0.0))
        above.append(Observation(dict(one.params), None if gain is None else gain - start, one.gain_var or 0.0))
    return Ground(name, config, space, seen, above, running, fixed_of(config, of_recipe) if space.axes else {})


def is_of_older_recipe(session: Session, one: Experiment) -> bool:
    here, now = session.layout.worktree(one.id) / RECIPE, find_folder(session.layout, one.recipe)
    if not here.is_dir():
        return not has_branch(session.layout, one.id)  # it was given up before it had a recipe
    return hash_files(here) != hash_files(now)


def fixed_of(config: RecipeConfig, used: list[Experiment]) -> dict[str, Any]:
    """UsageError where a run needs a value that nobody has given yet."""
    needed = [name for name, spec in config.params.items() if spec.required and spec.default is None]
    newest = used[-1].params if used else {}
    if missing := [name for name in needed if newest.get(name) is None]:
        raise UsageError(
            f"recipe {config.name} needs {missing[0]}, which has no default",
            hint=f"give it a default in recipe.yaml, or make one experiment: evo new --recipe {config.name} --set …",
        )
    return {name: newest[name] for name in needed}
