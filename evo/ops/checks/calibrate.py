"""A/A: how often the gate's test accepts in this workspace where there is nothing to accept.

Invariant: dev only, nothing held-out is read; nothing is written to the tree, and no number here is a score.
"""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from evo.data.reader import read_items
from evo.domain.gate_views import CalibrateView
from evo.domain.job import AttemptFolder
from evo.domain.score import per_item
from evo.errors import Refused
from evo.evidence import history_of, rules_of
from evo.gate import asking, calibrate
from evo.gate.decision import Comparison, GateRules
from evo.gate.power import ASSUMED
from evo.gate.statistics import RunNoise
from evo.lightdata import dataclass, replace
from evo.ops.checks.power import noise, pairs, sizes
from evo.ops.judging import epoch
from evo.ops.judging.gating import refuse_scalar
from evo.ops.judging.judge import Judge, eval_job, evaluate, pinned_items
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.launch import weights_folder
from evo.session import Session
from evo.store import experiments, results

DRAWS, REPEATS = 2000, 4
EVERY = 100
"""Draws from one word about progress to the next."""


@dataclass(frozen=True)
class CalibrateRequest:
    """`runs`: draws, or with `experiment` evaluations; None: what is usual."""

    runs: int | None = None
    simulate: bool = False
    experiment: str | None = None
    seed: int = 0


class Bench(NamedTuple):
    """What a draw is judged by: the rules, the level of the next question, and the facts of a dev comparison."""

    rules: GateRules
    alpha: float
    like: Comparison
    items: list[str]


def calibrated(session: Session, request: CalibrateRequest, on_tick: OnTick = silent) -> CalibrateView:
    """The measured rate of false accepts, with its interval and the words that say what was done."""
    refuse_scalar(session, "calibrated")
    sizes(session)
    judge, _ = epoch.enter(session, on_tick)
    bench = bench_of(session)
    if request.experiment is not None:
        return repeated(session, judge, bench, request, on_tick)
    found = [] if request.simulate else pairs(session)
    draws = request.runs or DRAWS
    rng = random.Random(request.seed)
    began = time.monotonic()
    accepted = 0
    for k in range(draws):
        if found:
            pair = found[k % len(found)]
            like = compared(session, bench, pair.candidate, pair.reference)
            drawn = calibrate.exchanged(like, rng)
        else:
            drawn = calibrate.simulated(plan_of(session, bench), rng)
        accepted += calibrate.accepts(drawn, bench.rules, alpha=bench.alpha)
        if k % EVERY == 0:
            on_tick(Tick("", 0, "calibrating", time.monotonic() - began, {"done": k, "total": draws}))
    view = view_of("exchange" if found else "simulate", bench, pairs=len(found), draws=draws, accepted=accepted)
    seeds = seeds_against_each_other(session, bench)
    return replace(
        view,
        seed_comparisons=seeds.comparisons,
        seed_accepted=seeds.accepted,
        message=words(view, is_asked=request.simulate),
    )


def bench_of(session: Session) -> Bench:
    rules = rules_of(session)
    rules = rules if rules.mode != "none" else replace(rules, mode="certify")
    dev = read_items(pinned_items(session, "dev"), needs_target=False)
    clusters = [item.cluster or item.id for item in dev] if any(item.cluster for item in dev) else None
    sigma, _ = noise(session)
    like = Comparison([], [], RunNoise(sigma, 1, 1), len(dev), session.config.eval.samples, clusters)
    return Bench(rules, asking.alpha_of(history_of(session), rules), like, [item.id for item in dev])


def compared(session: Session, bench: Bench, ours: dict[str, float], theirs: dict[str, float]) -> Comparison:
    """Two sets of dev results as the gate would see them if dev were held out."""
    adjusted = session.metric.adjusted
    return replace(
        bench.like,
        candidate=[adjusted(ours[item]) for item in bench.items],
        reference=[adjusted(theirs[item]) for item in bench.items],
    )


def plan_of(session: Session, bench: Bench) -> calibrate.Plan:
    root = experiments.get(session.db, "exp_0000")
    base = root.score_mean if root.score_mean is not None and 0.0 <= root.score_mean <= 1.0 else 0.5
    return calibrate.Plan(len(bench.items), base, ASSUMED, bench.like.noise)


def seeds_against_each_other(session: Session, bench: Bench) -> calibrate.Repeats:
    """Real A/A: every experiment that was run with more than one seed, its stored runs against each other."""
    total = calibrate.Repeats(0, 0, 0)
    for experiment in experiments.all(session.db):
        if experiment.seeds < 2 or session.epoch is None:
            continue
        means = results.seed_means(session.db, experiment.id, eval_hash=session.epoch)
        runs = [[session.metric.adjusted(run[item]) for item in bench.items] for run in means.values()]
        found = calibrate.among(runs, bench.like, bench.rules, alpha=bench.alpha)
        total = calibrate.Repeats(*(a + b for a, b in zip(total, found, strict=True)))
    return total


def repeated(session: Session, judge: Judge, bench: Bench, request: CalibrateRequest, on_tick: OnTick) -> CalibrateView:
    """The weights of one experiment, evaluated several times with other sampling seeds, against each other."""
    experiment = experiments.get(session.db, request.experiment or "")
    model = weights_folder(session, experiment)
    count = request.runs or REPEATS
    if count < 2:
        raise Refused("one evaluation has nothing to be compared with", hint="--runs 4")
    place = AttemptFolder(session.layout.cache / "calibrate" / f"{experiment.id}-{request.seed}")
    job = eval_job(session, judge, split="dev", model=model, out_dir=place.eval_dir, items=pinned_items(session, "dev"))
    runs = []
    for k in range(count):
        seeded = replace(job, generation=job.generation | {"seed": session.config.eval.seed + 1 + k + request.seed})
        tick = lambda s, k=k: on_tick(Tick(experiment.id, 0, "calibrating", s, {"done": k, "total": count}))  # noqa: E731
        _, graded = evaluate(session, seeded, folder=place, beat=tick)
        means = per_item(graded)
        runs.append([session.metric.adjusted(means[item]) for item in bench.items])
    found = calibrate.among(runs, bench.like, bench.rules, alpha=bench.alpha)
    view = view_of("repeat", bench, pairs=found.comparisons // 2, draws=found.comparisons, accepted=found.accepted)
    same = f"{found.equal} of {found.comparisons // 2} pairs agree on every item"
    return replace(view, message=f"{experiment.id}, the same weights evaluated {count} times on dev: {same}")


def view_of(method: str, bench: Bench, *, pairs: int, draws: int, accepted: int) -> CalibrateView:
    rate = calibrate.rate_of(accepted, draws)
    return CalibrateView(method, bench.alpha, len(bench.items), pairs, draws, accepted, *rate)


def words(view: CalibrateView, *, is_asked: bool) -> str:
    if view.method == "exchange":
        what = f"{view.pairs} experiment{'s' * (view.pairs > 1)} against the last committed one"
        return f"dev results of {what}, the sides of each item exchanged at random: no side is better"
    why = "" if is_asked else "; no two experiments have dev results to exchange yet"
    return f"two runs of equal quality drawn {view.draws} times, {ASSUMED:.0%} of the items differing{why}"
