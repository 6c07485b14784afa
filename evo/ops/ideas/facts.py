"""The facts that ideas are drawn from, read out of a workspace.

Invariant: nothing of held-out or vault is read, and nothing is written. Results of this epoch alone count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from evo.beliefs import recall_beliefs
from evo.config import RecipeConfig
from evo.data.disagreement import disagreement_in
from evo.diagnose.outputs import CUT_OFF
from evo.diagnose.readings import is_wide_gap, saturated_end, saturation_of
from evo.domain.experiment import ROOT
from evo.errors import EvoError
from evo.files import read_json
from evo.ideas.facts import Facts, Node, RecipeFacts, RewardShape, Task
from evo.ideas.symptoms import MEMORISED, SUPERVISED
from evo.ops.checks.diagnose import chance_of, dev_items
from evo.session import Session
from evo.store import gate_rows, meta, nodes, results, trials, whole
from evo.workspace.mission import divided, read_mission
from evo.workspace.recipes import find_folder, find_recipe, keep, names, own_names, recalled

FLAT = 0.01
"""Standard deviation of a group's rewards under which no answer is better than another."""
COLLAPSED = 0.05
"""Entropy (nats a token) of a policy that always says the same."""
FAR = 1.0
"""KL divergence (nats a token) of a policy that has lost its start."""
KNOWN_LOSS, KNOWN_SHARE = 0.05, 0.98
"""Loss (nats a token) and share of tokens from which training rows are known by heart."""
LOST, FEWEST = 0.2, 5
"""A fifth of what the base gets right, of five items and more."""
LOOKED_AT = 3
"""So many of the newest scored experiments, and the best, are compared with the base item by item."""
_FILES: tuple[tuple[str, RewardShape], ...] = (
    ("preferences.jsonl", "pairs"),
    ("train.jsonl", "demonstrations"),
    ("corpus", "corpus"),
)
_VERIFIED = frozenset({"exact", "regex", "choice", "math", "rules", "json_cmd"})
"""Scorers that check an answer; any other may give marks."""


def facts_of(session: Session, *, parses: bool = True) -> Facts:
    """Before the baseline has a score there is no gain in it, and everything else is. `parses`: recipes that nobody has
    read since they changed too, 50 ms each."""
    recipes = recipes_of(session, parses=parses)
    tree = nodes_of(session, recipes)
    root = tree[ROOT]
    best = recall_beliefs(session).best if root.score is not None else ROOT
    kinds = whole.finding_kinds(session.db)
    epoch = session.epoch
    return Facts(
        task=task_of(session, root, best),
        nodes=tree,
        recipes=recipes,
        best=best,
        committed=gate_rows.last_committed(session.db),
        findings=kinds.get(None, []),
        rounds_without_gain=nodes.since_best(session.db, epoch) if epoch else 0,
    )


def recipes_of(session: Session, *, parses: bool = True) -> dict[str, RecipeFacts]:
    """The workspace's own; with a base model the shipped ones too, by what there is to learn from."""
    own = own_names(session.layout)
    known = list(names(session.layout)) if session.config.model.source else [*own, "command"]
    found = {}
    for name in dict.fromkeys([*own, *known]):
        config = recalled(session.layout, name)
        try:
            config = find_recipe(session.layout, name).config if config is None and parses else config
        except EvoError:  # a recipe that cannot be read proposes nothing; `evo recipe check` says why
            continue
        if config is not None:
            found[name] = recipe_facts(name, config)
    return found


def keep_recipes(session: Session) -> None:
    """Validated copies of all recipes, so that they are parsed once and not whenever facts are asked for."""
    for name in names(session.layout):
        with suppress(EvoError):
            keep(session.layout, find_folder(session.layout, name))


def recipe_facts(name: str, config: RecipeConfig) -> RecipeFacts:
    rewards = len(config.rewards)
    return RecipeFacts(name, config.technique, config.reward_shape, config.params, rewards, config.init_from)


def nodes_of(session: Session, recipes: Mapping[str, RecipeFacts]) -> dict[str, Node]:
    rows = {row.id: row for row in whole.experiments(session.db)}
    ended = trials.refused(session.db) | whole.failures(session.db)
    kinds = whole.finding_kinds(session.db)
    epoch, metric = session.epoch, session.metric
    shrunken = _shrunken(session) if rows[ROOT].score_mean is not None else {}
    forgetful = _forgetful(session, rows)
    further = whole.further_seeds(session.db)
    found: dict[str, Node] = {}
    for row in rows.values():
        is_now = row.epoch is not None and row.epoch == epoch
        gain = 0.0 if row.id == ROOT and is_now else (row.gain if is_now else None)
        above = rows.get(row.parent or "")
        before = None if above is None else (0.0 if above.id == ROOT else above.gain)
        same = above is not None and above.epoch == row.epoch and is_now and before is not None
        own_var = row.gain_var or 0.0
        failure = ended.get(row.id) if row.score_mean is None else None
        found[row.id] = Node(
            id=row.id,
            parent=row.parent,
            depth=0 if row.parent is None else found[row.parent].depth + 1,
            state=row.state,
            further=further.get(row.id),
            recipe=row.recipe,
            technique=row.technique,
            params=_changed(row, recipes.get(row.recipe)),
            hypothesis=row.hypothesis,
            gain=gain,
            se=math.sqrt(own_var),
            delta=gain - before if same and gain is not None and before is not None else None,
            delta_se=math.sqrt(own_var + ((above.gain_var if above else None) or own_var)),
            shrunken=shrunken.get(row.id),
            score=row.score_mean if is_now else None,
            failure=failure.failure if failure else "",
            log_tail=failure.message if failure else "",
            gpu_seconds=row.gpu_seconds,
            is_noop=bool(row.is_noop),
            is_regressed=bool(row.is_regressed),
            discard_class=row.state_class,
            readings=[
                *readings_of(row, low=metric.low, high=metric.high, sign=metric.sign),
                *kinds.get(row.id, []),
                *(["forgetting"] if row.id in forgetful else []),
            ],
            insight=row.insight,
            commit=row.commit_sha,
            reason=row.state_reason,
            start=row.start_from,
            updated_at=row.updated_at,
        )
    return found


def _changed(row: whole.WholeRow, recipe: RecipeFacts | None) -> dict[str, Any]:
    """Parameters that are not at their default."""
    params = json.loads(row.params)
    if recipe is None:
        return dict(params)
    defaults = {name: spec.default for name, spec in recipe.params.items()}
    return {name: value for name, value in params.items() if value != defaults.get(name)}


def _shrunken(session: Session) -> dict[str, float]:
    mind = recall_beliefs(session)
    return {id: mind.posterior.mean[i] for i, id in enumerate(mind.tree.ids)}


def readings_of(row: whole.WholeRow, *, low: float | None, high: float | None, sign: float) -> Iterable[str]:
    """What the end of its metrics says; a rewarded run alone has a `train_score`."""
    if row.summary is None or row.score_mean is None:
        return
    end = json.loads(row.summary)
    reward = end.get("train_score")
    if reward is not None:
        place = saturation_of(sign * reward, low=low, high=high)
        if place is not None and saturated_end(place if sign > 0 else 1 - place) == "upper":
            yield "reward-saturated"
        elif end.get("reward_std", 1.0) < FLAT:
            yield "reward-flat"
        span = None if low is None or high is None else high - low
        if is_wide_gap(sign * reward - row.score_mean, score_se=row.score_se or 0.0, span=span, sign=sign):
            yield "generalisation-gap"
    is_known = end.get("loss", 1.0) <= KNOWN_LOSS or end.get("mean_token_accuracy", 0.0) >= KNOWN_SHARE
    if row.technique in SUPERVISED and is_known:
        yield MEMORISED
    if end.get("kl", 0.0) > FAR:
        yield "instability"
    if end.get("entropy", 1.0) < COLLAPSED:
        yield "entropy-collapse"
    if end.get("truncated", 0.0) >= CUT_OFF:
        yield "truncated-outputs"


def _forgetful(session: Session, rows: Mapping[str, whole.WholeRow]) -> set[str]:
    """Of the newest and the best, those that have lost what the base gets right."""
    epoch = session.epoch
    scored = [row for row in rows.values() if row.id != ROOT and row.epoch == epoch and row.gain is not None]
    if epoch is None or not scored or session.config.eval.mode == "scalar":
        return set()
    best = max(scored, key=lambda row: row.gain or 0.0)
    top = session.metric.high if session.metric.sign > 0 else session.metric.low
    base = results.pooled_means(session.db, ROOT, eval_hash=epoch)
    right = [item for item, score in base.items() if score == top]
    if len(right) < FEWEST:
        return set()
    looked_at = {row.id for row in [*scored[-LOOKED_AT:], best]}
    found = set()
    for id in looked_at:
        means = results.pooled_means(session.db, id, eval_hash=epoch)
        lost = sum(item in means and means[item] != top for item in right)
        if lost / len(right) >= LOST:
            found.add(id)
    return found


def task_of(session: Session, root: Node, best: str) -> Task:
    config, metric = session.config, session.metric
    rows = training_rows(session)
    shapes = shapes_of(session, rows)
    mission = read_mission(session.layout.root)
    family, parameters = model_facts(session)
    dev = {item.id: item for item in dev_items(session)}
    is_asked_here = config.eval.backend != "command"
    return Task(
        objective=" ".join(divided(mission.written)[0].split()),
        benchmark=config.name or session.layout.root.name,
        shapes=shapes,
        rows=rows,
        constraints=[line.lstrip("-* ") for line in mission.constraints.splitlines() if line.strip()],
        scorer=config.eval.scorer,
        dev_items=len(dev),
        base_score=root.score,
        chance=chance_of(session),
        is_maximised=metric.sign > 0,
        unit=metric.unit,
        low=metric.low,
        high=metric.high,
        model_family=family,
        model_parameters=parameters,
        has_cuda=any(Path("/dev").glob("nvidia[0-9]*")),
        answer_tokens=config.eval.max_new_tokens if is_asked_here else 0,
        disagreement=max((disagreement_in(path) for path in row_files(session)), default=0.0),
        is_asked_here=is_asked_here,
        slices=_slices(session, best, dev),
    )


def training_rows(session: Session) -> dict[str, int]:
    """Rows of the files that recipes are shipped to read; a folder of texts counts its files."""
    found: dict[str, int] = {}
    for name, shape in _FILES:
        path = session.layout.data / name
        if path.is_file():
            with path.open("rb") as file:
                found[shape] = sum(1 for line in file if line.strip())
        elif path.is_dir():
            found[shape] = sum(1 for entry in path.rglob("*") if entry.is_file())
    return {shape: n for shape, n in found.items() if n}


def row_files(session: Session) -> list[Path]:
    """Those of them that hold rows."""
    paths = [session.layout.data / name for name, _ in _FILES]
    return [path for path in paths if path.is_file()]


def shapes_of(session: Session, rows: Mapping[str, int]) -> list[RewardShape]:
    """What one can learn from: prompts with a scorer, pairs, demonstrations, texts."""
    found: list[RewardShape] = []
    if session.config.model.source and "demonstrations" in rows:  # prompts to answer come from the same rows
        found.append("verifiable" if _verifies(session) else "scorer")
    return [*found, *(shape for _, shape in _FILES if shape in rows)]


def _verifies(session: Session) -> bool:
    """By its name, or because all that it has said of the base model is right or wrong: marks lie between."""
    if session.config.eval.scorer in _VERIFIED:
        return True
    epoch, metric = session.epoch, session.metric
    known = results.pooled_means(session.db, ROOT, eval_hash=epoch).values() if epoch else ()
    return bool(known) and set(known) <= {metric.low, metric.high}


def model_facts(session: Session) -> tuple[str, int]:
    """`model_type` and the number of parameters, by the files of the base; empty and 0 where they cannot be read."""
    pin = meta.get(session.db, "model_pin") or {}
    folder = Path(pin.get("path", "")) if pin else None
    if folder is None:
        return "", 0
    try:
        config = read_json(folder / "config.json")
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    except (EvoError, OSError, RecursionError):  # the last: of a document as deep as no config is
        return "", 0
    if not isinstance(config, dict):
        return "", 0
    width = {"float32": 4, "bfloat16": 2, "float16": 2}.get(str(config.get("torch_dtype") or config.get("dtype")), 4)
    return str(config.get("model_type", "")), size // width


def _slices(session: Session, best: str, dev: Mapping[str, Any]) -> dict[str, float]:
    epoch = session.epoch
    if epoch is None or not any(item.slice for item in dev.values()):
        return {}
    found: dict[str, list[float]] = {}
    for item, score in results.pooled_means(session.db, best, eval_hash=epoch).items():
        if item in dev and dev[item].slice:
            found.setdefault(dev[item].slice, []).append(score)
    return {name: math.fsum(scores) / len(scores) for name, scores in sorted(found.items())}
