"""Steps that nobody has tried yet, as commands that can be typed as they stand: what `evo next` offers where no idea
waits.

Invariant: pure search over what is known of recipes; it never parses one (an agent asks often), and it never repeats
what this parent's children tried, nor what has failed anywhere.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import chain

from evo.config import ParamSpec, RecipeConfig
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.ideas.space import is_idle
from evo.lightdata import dataclass, field
from evo.session import Session
from evo.store import listings
from evo.workspace.recipes import own_names, recalled

ARGV = "argv"
FIRST_COMMAND = "python train.py"


@dataclass(frozen=True)
class Step:
    """A recipe with these parameters set; `words` say what is expected of it."""

    recipe: str
    settings: dict[str, object] = field(default_factory=dict)
    words: str = ""

    def command(self, parent: str) -> str:
        sets = "".join(f" --set {shlex.quote(f'{name}={written(value)}')}" for name, value in self.settings.items())
        return f"evo new --parent {parent} --recipe {shlex.quote(self.recipe)}{sets} -m {shlex.quote(self.words)}"


def written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def step_from(session: Session, parent: Experiment) -> Step | None:
    """The first step from `parent` that was not tried; None where recipes and ranges hold no other."""
    tried = {(recipe, _frozen(json.loads(params))) for recipe, params in listings.tried(session.db, parent.id)}
    tried.add((parent.recipe, _frozen(parent.params)))  # the same again, from its own output, teaches the least
    seen = {recipe for recipe, _ in tried}
    likely = candidates(session, parent)
    configs = {name: recalled(session.layout, name) for name in likely}

    def is_new(step: Step) -> bool:
        known = configs[step.recipe]
        if known is None:
            return step.recipe not in seen
        return (step.recipe, _frozen(_defaults(known) | step.settings)) not in tried

    first = (as_is(session, parent, name, configs[name]) for name in likely)
    further = (step for name in likely if (known := configs[name]) for step in varied(name, known, parent))
    return next((step for step in chain(first, further) if step is not None and is_new(step)), None)


def was_tried(session: Session, parent: Experiment, step: Step) -> bool:
    """Whether a child of `parent` has just these values, or one that failed anywhere had. False where nobody knows the
    recipe's defaults."""
    known = recalled(session.layout, step.recipe)
    if known is None:
        return False
    values = _frozen(_defaults(known) | step.settings)
    rows = listings.tried(session.db, parent.id)
    return any(recipe == step.recipe and _frozen(json.loads(params)) == values for recipe, params in rows)


def candidates(session: Session, parent: Experiment) -> list[str]:
    """Recipes by name, the likeliest first: the parent's, the newest experiment's, the workspace's own, the usual."""
    newest = (like for like in listings.newest(session.db, limit=1) if like.id != ROOT)
    used = [like.recipe for like in (parent, *newest) if like.id != ROOT and like.origin != DECLARED]
    own = own_names(session.layout)
    usual = [] if own or used else ["sft" if session.config.model.source else "command"]
    return list(dict.fromkeys([*used, *own, *usual]))


def as_is(session: Session, parent: Experiment, name: str, config: RecipeConfig | None) -> Step | None:
    """The recipe with its defaults; a command that has none is the parent's, or the usual one."""
    settings: dict[str, object] = {}
    spec = config.params.get(ARGV) if config is not None else None
    if (spec is not None and spec.default is None) or (config is None and name == "command"):
        settings[ARGV] = _command_of(session, parent)
    missing = [key for key, spec in (config.params if config else {}).items() if spec.required and spec.default is None]
    if set(missing) - set(settings):
        return None
    return Step(name, settings, f"{name} as it is, from {parent.id}")


def _command_of(session: Session, parent: Experiment) -> str:
    for like in (parent, *listings.newest(session.db, limit=5)):
        if ARGV in like.params:
            return str(like.params[ARGV])
    return FIRST_COMMAND


def varied(name: str, config: RecipeConfig, parent: Experiment) -> Iterator[Step]:
    """One parameter moved by one step: the double, the half, the other choices, in the recipe's own order."""
    at = {**_defaults(config), **(parent.params if parent.recipe == name else {})}
    spared = {key: value for key, value in at.items() if value is not None and value != config.params[key].default}
    for way in (2.0, 0.5):
        for key, spec in config.params.items():
            if not spec.tune or is_idle(key, config.params):
                continue
            for value in moved(spec, at.get(key), way):
                words = f"{name} with {key} {written(value)} instead of {written(at.get(key))}, from {parent.id}"
                yield Step(name, {**spared, key: value}, words)


def moved(spec: ParamSpec, value: object, way: float) -> list[object]:
    """Where one step leads from `value`: nowhere for text without choices."""
    if spec.choices:
        return [choice for choice in spec.choices if choice != value] if way > 1 else []
    if isinstance(value, bool):
        return [not value] if way > 1 else []
    if not isinstance(value, (int, float)) or not value:
        return []
    new: float = value * way if spec.type == "float" else round(value * way)
    return [new] if new != value and _is_within(spec, new) else []


def _is_within(spec: ParamSpec, value: float) -> bool:
    low = (spec.min is None or value >= spec.min) and (spec.above is None or value > spec.above)
    return low and (spec.max is None or value <= spec.max) and (spec.below is None or value < spec.below)


def _defaults(config: RecipeConfig) -> dict[str, object]:
    return {name: spec.default for name, spec in config.params.items()}


def _frozen(params: dict[str, object]) -> str:
    return json.dumps({key: str(value) for key, value in params.items()}, sort_keys=True)
