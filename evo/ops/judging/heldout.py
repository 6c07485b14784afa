"""Held-out and vault evaluations, and the decision on them.

Invariant: results on sealed items lie under `.evo/sealed`, their outputs hashed; what leaves this module of a held-out
comparison is the decision, which its caller reduces to one bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evo.data import seal
from evo.domain.attempt import Attempt
from evo.domain.certificate import Terms
from evo.domain.experiment import ROOT, Experiment
from evo.domain.item import Item, ItemResult, Split
from evo.domain.job import AttemptFolder, EvalJob
from evo.domain.score import mean_over_seeds, per_item
from evo.errors import EvoError, Refused, RunFailed
from evo.files import sha256_json
from evo.gate.decision import Comparison, Decision, GateRules, GuardReading, decide, may_claim_recipe
from evo.gate.noise import sigma_run
from evo.gate.statistics import RunNoise, sigma_from_seeds
from evo.lightdata import dataclass, replace
from evo.ops.judging.judge import Judge, eval_job, evaluate, read_results, results_key, write_items
from evo.ops.progress import OnTick, Tick
from evo.ops.runs.launch import base_folder
from evo.session import Session
from evo.store import attempts, experiments, results

if TYPE_CHECKING:
    from evo.ops.checks.suites import Guard


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
    """`guards`: those that a commit needs, of which the candidate's results are held against the base's."""

    candidate: Side
    reference: Side
    guards: Sequence[Guard] = ()


def decide_on(
    session: Session, judge: Judge, sides: Sides, *, rules: GateRules, alpha: float, on_tick: OnTick
) -> Decision:
    """The decision of DESIGN §8 on both sides' held-out results. It stays inside this module and its caller."""
    candidate, reference, guards = sides
    noise = noise_of(session, candidate, reference)
    is_enough = may_claim_recipe(noise) or (reference.experiment.id == ROOT and noise.candidate_runs >= 3)
    if session.config.gate.claim == "recipe" and not is_enough:
        return Decision(False, "claim: recipe needs three seeds on both sides", alpha)
    readings = guard_readings(session, judge, candidate, guards=guards, noise=noise, on_tick=on_tick)
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
    return decide(comparison, rules, alpha=alpha, guards=readings)


def sides_of(session: Session, judge: Judge, candidate: Side, reference: Side, on_tick: OnTick) -> Sides:
    """Both, with the guards that decide. Refused where one of them could never hold."""
    if not session.config.guards:
        return Sides(candidate, reference)
    noise = replace(noise_of(session, candidate, reference), reference_runs=1)
    return Sides(candidate, reference, import_module("evo.ops.checks.guards").deciding(session, judge, noise, on_tick))


def terms_of(session: Session, sides: Sides, *, alpha: float) -> Terms:
    """Enough for `evo verify` to judge again as it was judged now, whatever is set then."""
    gate, noise = session.config.gate, noise_of(session, sides.candidate, sides.reference)
    return Terms(
        alpha=alpha,
        min_gain=gate.min_gain,
        claim=gate.claim,
        sigma_run=noise.sigma,
        runs=[run.n for run in sides.candidate.runs],
        against_runs=[run.n for run in sides.reference.runs],
        guards={guard.name: (guard.guard_hash, guard.config.margin) for guard in sides.guards},
    )


def is_answered(session: Session, judge: Judge, sides: Sides) -> bool:
    """True where all results that `decide_on` reads are kept, so that nothing would be evaluated."""
    asked = [*sides.candidate.runs, *sides.reference.runs]
    folders = [primary(session, judge, run, split="heldout").folder for run in asked]
    guarded = [*sides.candidate.runs, *(side(session, ROOT).runs if sides.guards else [])]
    folders += [guard_part(session, judge, guard, run).folder for guard in sides.guards for run in guarded]
    return all(kept_results(folder) is not None for folder in folders)


def guard_readings(
    session: Session, judge: Judge, candidate: Side, *, guards: Sequence[Guard], noise: RunNoise, on_tick: OnTick
) -> list[GuardReading]:
    """Each guard's held-out bound for the candidate against the base, whoever the reference is."""
    if not guards:
        return []
    base, alone = side(session, ROOT), replace(noise, reference_runs=1)
    ours, theirs = (guard_means(session, judge, who, guards, on_tick) for who in (candidate, base))
    work = import_module("evo.ops.checks.guards")
    return [work.reading(session, guard, ours[guard.name], theirs[guard.name], alone) for guard in guards]


def guard_means(
    session: Session, judge: Judge, who: Side, guards: Sequence[Guard], on_tick: OnTick
) -> dict[str, Mapping[str, float]]:
    """Guard -> held-out item -> mean over the side's runs."""
    graded = [sealed_guards(session, judge, who, run, guards=guards, on_tick=on_tick) for run in who.runs]
    return {guard.name: mean_over_seeds([per_item(run[guard.name]) for run in graded]) for guard in guards}


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
    wanted = primary(session, judge, run, split=split)
    return ask_sealed(session, [wanted], experiment, run, on_tick=on_tick)[wanted.name]


def sealed_guards(
    session: Session, judge: Judge, who: Side, run: Attempt, *, guards: Sequence[Guard], on_tick: OnTick
) -> dict[str, Sequence[ItemResult]]:
    """Guard -> its held-out results; what is missing is evaluated beside the workspace's own held-out items."""
    wanted = [guard_part(session, judge, guard, run) for guard in guards]
    own = primary(session, judge, run, split="heldout")
    found = ask_sealed(session, [own, *wanted], who.experiment, run, on_tick=on_tick)
    return {guard.name: found[part.name] for guard, part in zip(guards, wanted, strict=True)}


class Wanted(NamedTuple):
    """Results on sealed items: the folder that keeps them, and the job that makes them."""

    name: str
    folder: Path
    job: EvalJob


def primary(session: Session, judge: Judge, run: Attempt, *, split: Split) -> Wanted:
    folder = session.layout.sealed / "results" / f"{split}-{results_key(run.weights_hash or '', judge)}"
    items = folder.with_name(f"{split}.jsonl")
    if not is_kept(folder):
        lay_items(items, seal.load_split(session.layout.root, split))
    model = output_of(session, run)
    return Wanted(split, folder, eval_job(session, judge, split=split, model=model, out_dir=folder, items=items))


def guard_part(session: Session, judge: Judge, guard: Guard, run: Attempt) -> Wanted:
    suites = import_module("evo.ops.checks.suites")
    key = sha256_json([run.weights_hash or "", guard.guard_hash])[:24]
    folder = session.layout.sealed / "results" / f"guard-{guard.name}-{key}"
    items = folder.with_name(f"guard-{guard.name}.jsonl")
    if not is_kept(folder):
        lay_items(items, suites.heldout_of(session, guard))
    model = output_of(session, run)
    job = suites.job_of(session, judge, guard, model=model, out_dir=folder, items=items)
    return Wanted(f"guard {guard.name}", folder, suites.sealed_job(job))


def lay_items(path: Path, items: list[Item]) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_items(path, items, mode=0o600)


def is_kept(folder: Path) -> bool:
    return AttemptFolder(folder).eval_summary.is_file()


def ask_sealed(
    session: Session, wanted: Sequence[Wanted], experiment: Experiment, run: Attempt, *, on_tick: OnTick
) -> dict[str, Sequence[ItemResult]]:
    """What is not kept yet is evaluated, all of it in one process; each set of results moves whole to its folder."""
    kept = {part.name: found for part in wanted if (found := kept_results(part.folder)) is not None}
    missing = [part for part in wanted if part.name not in kept]
    if missing:
        evaluate_sealed(session, missing, experiment, run, on_tick=on_tick)
    return kept | {part.name: read_results(AttemptFolder(part.folder).eval_dir)[1] for part in missing}


def kept_results(folder: Path) -> Sequence[ItemResult] | None:
    """None where these weights were never asked, or the evaluation was cut off."""
    try:
        return read_results(AttemptFolder(folder).eval_dir)[1]
    except EvoError:
        return None


def evaluate_sealed(
    session: Session, missing: Sequence[Wanted], experiment: Experiment, run: Attempt, *, on_tick: OnTick
) -> None:
    """RunFailed where one of them could not be had: then there is no answer, and the look stays open."""
    first, *others = missing
    draft = AttemptFolder(first.folder.with_name(f"{first.folder.name}.{os.getpid()}"))
    beside = {part.name: AttemptFolder(draft.root / "beside" / part.folder.name) for part in others}
    jobs = [replace(part.job, out_dir=str(beside[part.name].eval_dir)) for part in others]
    job = replace(first.job, out_dir=str(draft.eval_dir), suites=jobs)
    stage = "vault" if first.name == "vault" else "held-out"

    def beat(seconds: float) -> None:
        on_tick(Tick(experiment.id, run.n, stage, seconds))

    evaluate(session, job, folder=draft, beat=beat)
    for part in others:
        if kept_results(beside[part.name].root) is None:
            raise RunFailed(f"the evaluation of {part.name} on {stage} items failed", hint=f"see {draft.eval_log}")
    places = [(part.folder, beside[part.name].root) for part in others] + [(first.folder, draft.root)]
    for folder, place in places:
        summary, _ = read_results(AttemptFolder(place).eval_dir)
        if summary.weights_hash != (run.weights_hash or ""):
            raise Refused(f"the weights of {experiment.id} are not those that were scored", hint="evo fsck")
        shutil.rmtree(folder, ignore_errors=True)
        place.chmod(0o700)
        place.rename(folder)


def output_of(session: Session, run: Attempt) -> Path:
    return base_folder(session) if run.experiment == ROOT else session.layout.attempt(run.experiment, run.n).output
