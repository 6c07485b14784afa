"""Held-out and vault evaluations, and the decision on them.

Invariant: results on sealed items lie under `.evo/sealed`, their outputs hashed; what leaves this module of a held-out
comparison is the decision, which its caller reduces to one bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evo.data import seal
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT, Experiment
from evo.domain.item import ItemResult, Split
from evo.domain.job import AttemptFolder
from evo.domain.score import mean_over_seeds, per_item
from evo.errors import EvoError, Refused
from evo.gate.decision import Comparison, Decision, GateRules, decide, may_claim_recipe
from evo.gate.noise import sigma_run
from evo.gate.statistics import RunNoise, sigma_from_seeds
from evo.lightdata import dataclass
from evo.ops.judge import Judge, eval_job, evaluate, read_results, results_key, write_items
from evo.ops.launch import base_folder
from evo.ops.progress import OnTick, Tick
from evo.session import Session
from evo.store import attempts, experiments, results


@dataclass(frozen=True)
class Side:
    """One of the two: the experiment, and the attempts whose weights speak for it (the primary one comes first)."""

    experiment: Experiment
    runs: list[Attempt]

    @property
    def weights_hash(self) -> str:
        return self.runs[0].weights_hash or ""


def side(session: Session, identifier: str) -> Side:
    """The primary attempt; under `claim: recipe` the newest good one of every seed with the same content."""
    experiment = experiments.get(session.db, identifier)
    if experiment.primary_attempt is None:
        raise Refused(f"{identifier} has no score yet", hint=f"evo run {identifier}")
    primary = attempts.get(session.db, identifier, experiment.primary_attempt)
    if session.config.gate.claim == "weights":
        return Side(experiment, [primary])
    newest = {
        attempt.seed: attempt
        for attempt in attempts.of(session.db, identifier)
        if attempt.outcome == "ok" and attempt.content_hash == primary.content_hash and attempt.seed != primary.seed
    }
    return Side(experiment, [primary, *newest.values()])


class Sides(NamedTuple):
    candidate: Side
    reference: Side


def decide_on(
    session: Session, judge: Judge, sides: Sides, *, rules: GateRules, alpha: float, on_tick: OnTick
) -> Decision:
    """The decision of DESIGN §8 on both sides' held-out results. It stays inside this module and its caller."""
    candidate, reference = sides
    noise = noise_of(session, candidate, reference)
    is_enough = may_claim_recipe(noise) or (reference.experiment.id == ROOT and noise.candidate_runs >= 3)
    if session.config.gate.claim == "recipe" and not is_enough:
        return Decision(False, "claim: recipe needs three seeds on both sides", alpha)
    ours, is_forbidden = heldout_means(session, judge, candidate, on_tick)
    theirs, _ = heldout_means(session, judge, reference, on_tick)
    if is_forbidden:
        return Decision(False, "forbidden outputs", alpha)
    items = seal.load_split(session.layout.root, "heldout")
    clusters = [item.cluster or item.id for item in items] if any(item.cluster for item in items) else None
    metric = session.metric
    comparison = Comparison(
        candidate=[metric.adjusted(ours[item.id]) for item in items],
        reference=[metric.adjusted(theirs[item.id]) for item in items],
        noise=noise,
        total=len(items),
        samples=session.config.eval.samples * max(noise.candidate_runs, noise.reference_runs),
        clusters=clusters,
    )
    return decide(comparison, rules, alpha=alpha)


def noise_of(session: Session, candidate: Side, reference: Side) -> RunNoise:
    """σ_run as it was measured from three seeds of either side, else as it is configured or assumed."""
    sigma = max(sigma_of(session, one.experiment) for one in (candidate, reference))
    return RunNoise(sigma, len(candidate.runs), len(reference.runs))


def sigma_of(session: Session, experiment: Experiment) -> float:
    setting = session.config.gate.sigma_run
    if setting == "auto" and session.epoch is not None:
        seeds = results.seed_means(session.db, experiment.id, eval_hash=session.epoch)
        runs = [[session.metric.adjusted(value) for value in means.values()] for means in seeds.values()]
        measured = sigma_from_seeds(runs)
        if measured is not None:
            return measured
    return sigma_run(setting, experiment.technique)


def heldout_means(session: Session, judge: Judge, who: Side, on_tick: OnTick) -> tuple[Mapping[str, float], bool]:
    """Item -> mean over the side's runs, and whether any output was forbidden."""
    graded = [sealed_results(session, judge, who.experiment, run, split="heldout", on_tick=on_tick) for run in who.runs]
    is_forbidden = any(result.is_forbidden for run in graded for result in run)
    return mean_over_seeds([per_item(run) for run in graded]), is_forbidden


def sealed_results(
    session: Session, judge: Judge, experiment: Experiment, run: Attempt, *, split: Split, on_tick: OnTick
) -> Sequence[ItemResult]:
    """Results on a sealed split, from the sealed store when these weights were asked before under this judge."""
    weights = run.weights_hash or ""
    folder = session.layout.sealed / "results" / f"{split}-{results_key(weights, judge)}"
    try:
        return read_results(AttemptFolder(folder).eval_dir)[1]
    except EvoError:
        pass  # never asked, or cut off
    draft = AttemptFolder(folder.with_name(f"{folder.name}.{os.getpid()}"))
    items = folder.with_name(f"{split}.jsonl")
    items.parent.mkdir(mode=0o700, exist_ok=True)
    write_items(items, seal.load_split(session.layout.root, split), mode=0o600)
    job = eval_job(session, judge, split=split, model=output_of(session, run), out_dir=draft.eval_dir, items=items)
    stage = "held-out" if split == "heldout" else "vault"

    def beat(seconds: float) -> None:
        on_tick(Tick(experiment.id, run.n, stage, seconds))

    summary, graded = evaluate(session, job, folder=draft, beat=beat)
    if summary.weights_hash != weights:
        raise Refused(f"the weights of {experiment.id} are not those that were scored", hint="evo fsck")
    shutil.rmtree(folder, ignore_errors=True)
    draft.root.rename(folder)
    return graded


def output_of(session: Session, run: Attempt) -> Path:
    return base_folder(session) if run.experiment == ROOT else session.layout.attempt(run.experiment, run.n).output
