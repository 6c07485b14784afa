"""`evo new`: one hypothesis becomes a node with a worktree.

Invariant: the same parent, recipe, parameters, data, seed and hypothesis give the same node; nothing is made twice,
whatever crashed in between.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from evo.domain.experiment import ROOT, Experiment, parse_experiment_id
from evo.domain.views import NewView
from evo.errors import Refused, UsageError
from evo.files import sha256_file, sha256_json
from evo.lightdata import dataclass, field
from evo.ops.checks import plan
from evo.ops.checks.hold import refuse_held_back
from evo.session import Session
from evo.store import artifacts, experiments
from evo.store.experiments import NewExperiment
from evo.workspace.recipes import RecipeSource, apply_params, find_recipe, grid, keep
from evo.workspace.repository import add_worktree, head


@dataclass(frozen=True)
class NewRequest:
    recipe: str
    hypothesis: str
    parent: str | None = None
    settings: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    seed: int = 42
    from_artifact: str | None = None
    key: str | None = None
    checks: tuple[str, ...] = ()
    """Commands as in `gate.checks`, for this experiment and all that descend from it."""
    base_commit: str | None = None
    """What a child of the root sees of the workspace; None: what is committed now."""


@dataclass(frozen=True)
class Made:
    views: list[NewView] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


def new(session: Session, request: NewRequest) -> Made:
    """Branch one experiment, or one for each point of the grid."""
    if not request.hypothesis.strip():
        raise UsageError("a hypothesis is needed: what do you expect, and why?", hint='-m "two epochs overfit less"')
    source = find_recipe(session.layout, request.recipe)
    points = grid(request.grid)
    if request.checks and (fault := import_module("evo.workspace.faults").fault_of("gate.checks", request.checks)):
        raise UsageError(f"--check: {fault}")
    refuse_held_back(session, source.config.technique)
    if request.key is not None and len(points) > 1:
        raise UsageError("--key names one experiment; --grid makes several", hint="leave one of the two out")
    # every point is checked before the first node is made
    params = [apply_params(source.config, [*request.settings, *point]) for point in points]
    views = []
    for point, values in zip(points, params, strict=True):
        words = f"{request.hypothesis} [{', '.join(point)}]" if len(points) > 1 else request.hypothesis
        views.append(_branch(session, request, source, values, words))
    made = [experiments.get(session.db, view.id) for view in views]
    told = dict.fromkeys(warning for each in made for warning in plan.before(session, each, source.config))
    return Made(views, tuple(told))


def choose_parent(session: Session, request: NewRequest) -> tuple[str, str]:
    """The named parent, or the policy's first pick, with the policy's name."""
    if request.parent is not None:
        return parse_experiment_id(request.parent), ""
    beliefs = import_module("evo.beliefs")  # posterior and policies: 10 ms, which a named parent does not pay
    picks = beliefs.pick_parents(session, beliefs.form_beliefs(session), k=1)
    return picks[0].id, session.config.search.policy


def _branch(
    session: Session, request: NewRequest, source: RecipeSource, params: dict[str, object], hypothesis: str
) -> NewView:
    parent_id, picked_by = choose_parent(session, request)
    parent = experiments.get(session.db, parent_id)
    wanted = NewExperiment(
        parent=parent.id,
        hypothesis=hypothesis,
        recipe=source.name,
        technique=source.config.technique,
        params=params,
        seed=request.seed,
        start_from=start_of(session, request, source),
        key=request.key,
        fingerprint=fingerprint(session, request, source, params, None if picked_by else parent.id, hypothesis),
        picked_by=picked_by,
    )
    start = request.base_commit if parent.id == ROOT and request.base_commit else start_commit(session, parent)
    experiment, is_new = experiments.add(session.db, wanted)
    if request.checks:
        import_module("evo.store.guards").set_checks(session.db, experiment.id, request.checks)
    if session.is_rehearsal:
        place = str(session.layout.worktree(experiment.id))
        return NewView(experiment.id, is_new, place, experiment.parent, picked_by or None)
    keep(session.layout, source.folder)
    worktree = add_worktree(session.layout, experiment.id, start_commit=start, recipe_folder=source.folder)
    return NewView(experiment.id, is_new, str(worktree), experiment.parent, picked_by or None)


def start_of(session: Session, request: NewRequest, source: RecipeSource) -> str:
    """`base`, `parent`, EXP or EXP:label."""
    if request.from_artifact is None:
        return source.config.init_from
    identifier, _, label = request.from_artifact.partition(":")
    origin = experiments.get(session.db, parse_experiment_id(identifier))
    if origin.state == "contaminated":
        raise Refused(f"{origin.id} is contaminated: nothing starts from what it has left")
    if label:
        artifacts.find(session.db, origin.id, label=label)
    elif origin.state == "discarded":
        labels = ", ".join(f"{origin.id}:{one.label}" for one in artifacts.of(session.db, origin.id)) or "nothing"
        raise Refused(
            f"{origin.id} is discarded: only what it declared can be started from", hint=f"it declared {labels}"
        )
    return f"{origin.id}:{label}" if label else origin.id


def start_commit(session: Session, parent: Experiment) -> str:
    """Children of the baseline see the files of the workspace as they are committed now."""
    commit = parent.commit if parent.id != ROOT else head(session.layout.root)
    if commit is None:
        raise Refused(f"{parent.id} has no commit to branch from", hint="evo fsck")
    return commit


def fingerprint(
    session: Session,
    request: NewRequest,
    source: RecipeSource,
    params: dict[str, object],
    parent: str | None,
    hypothesis: str,
) -> str:
    """What makes two calls the same. Where the policy chose the parent, that choice is not part of it."""
    data = [[part.source, _content(session.layout.root / part.source)] for part in source.config.data.train]
    what = [parent, source.name, source.sha256, params, data, request.seed, request.from_artifact, hypothesis]
    return sha256_json(what)


def _content(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""
