"""Guards at work: dev results taken in beside every score, and the held-out bounds that a commit needs.

Invariant: a guard's dev results are stored under its own hash and are shown; of its held-out results nothing leaves
but their part in the gate's one bit. What a guard cannot tell is a finding, not a silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evo.domain.experiment import ROOT, Experiment
from evo.domain.finding import Finding
from evo.domain.item import Item
from evo.domain.job import AttemptFolder, EvalJob
from evo.errors import EvoError, Refused
from evo.gate.decision import GuardReading
from evo.gate.harm import best_bound, harm
from evo.gate.statistics import RunNoise
from evo.guarding import Sighted, adjusted, is_silent, noise_of, sighted
from evo.lightdata import replace
from evo.ops.checks import suites
from evo.ops.checks.suites import Guard
from evo.ops.judging import epoch
from evo.ops.judging.judge import Judge, evaluate, read_results
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.launch import weights_folder
from evo.session import Session
from evo.store import attempts, experiments, findings
from evo.store import guards as stored

SOURCE = "guards"


def with_suites(session: Session, judge: Judge, job: EvalJob) -> EvalJob:
    """`job` as one that scores the guards' dev items beside its own."""
    guards = suites.present(session, judge)
    return replace(job, suites=[dev_job(session, judge, guard, model=job.model, out=job.out_dir) for guard in guards])


def dev_job(session: Session, judge: Judge, guard: Guard, *, model: str, out: str) -> EvalJob:
    place = Path(out) / suites.FOLDER / guard.name
    return suites.job_of(session, judge, guard, model=Path(model), out_dir=place, items=suites.dev_path(session, guard))


def take_in(session: Session, experiment: str, n: int, eval_dir: Path) -> None:
    """Store what an evaluation of attempt `n` left of guards' dev items."""
    for place in sorted((eval_dir / suites.FOLDER).glob("*")):
        _take_in_one(session, experiment, n, place, name=place.name)


def _take_in_one(session: Session, experiment: str, n: int, place: Path, *, name: str) -> None:
    try:
        summary, found = read_results(place)
    except EvoError:
        return  # not whole: it is measured again when it is asked for
    if summary.split == "dev" and summary.weights_hash == attempts.get(session.db, experiment, n).weights_hash:
        stored.add(session.db, experiment, n, guard=name, guard_hash=summary.eval_hash, found=found)


def complete(session: Session, judge: Judge, identifier: str, on_tick: OnTick = silent) -> None:
    """Evaluate the guards that the scored attempt has no dev results of, and say what they tell."""
    experiment = experiments.get(session.db, identifier)
    n = experiment.primary_attempt
    if n is None:
        return
    folder = AttemptFolder(session.layout.attempt(identifier, n).root / "guards")
    model = str(weights_folder(session, experiment))
    missing = [
        guard
        for guard in suites.present(session, judge)
        if not stored.means(session.db, identifier, n, guard_hash=guard.guard_hash)
    ]
    if missing:
        first, *others = [dev_job(session, judge, g, model=model, out=str(folder.eval_dir)) for g in missing]
        beat: Callable[[float], None] = lambda seconds: on_tick(Tick(identifier, n, "guards", seconds))  # noqa: E731
        evaluate(session, replace(first, out_dir=str(folder.eval_dir), suites=others), folder=folder, beat=beat)
        _take_in_one(session, identifier, n, folder.eval_dir, name=missing[0].name)
        take_in(session, identifier, n, folder.eval_dir)
    report(session, judge, experiment)


def measured(session: Session, identifier: str, on_tick: OnTick = silent) -> tuple[str, ...]:
    """`complete` for the baseline and for one experiment; what is open about either, in words."""
    judge, _ = epoch.enter(session, on_tick)
    names = dict.fromkeys((ROOT, identifier))
    for name in names:
        complete(session, judge, name, on_tick)
    seen = (found for name in names for found in findings.of(session.db, name, source=SOURCE))
    return tuple(found.finding.message for found in seen if not found.settled)


def after_score(session: Session, identifier: str, on_tick: OnTick = silent) -> tuple[str, ...]:
    """`measured`, where there is a score; it stays whatever becomes of its guards."""
    if experiments.get(session.db, identifier).score_mean is None:
        return ()
    try:
        return measured(session, identifier, on_tick)
    except EvoError as error:
        return (f"the score is stored; its guards could not be evaluated: {error.message}",)


def report(session: Session, judge: Judge, experiment: Experiment) -> None:
    """Findings about an experiment's guards; those about the guards themselves stand by the baseline."""
    found: list[Finding] = []
    for guard in suites.present(session, judge):
        seen = sighted(session, guard.config, experiment)
        step = f"evo rescore {experiment.id}"
        if seen is None:
            found.append(Finding(SOURCE, "unmeasured", "warn", f"guard {guard.name} has no dev results", next=step))
        elif experiment.id == ROOT:
            found += _about_itself(session, guard, seen)
        else:
            found += _harm_on_dev(session, guard, seen, experiment)
    if found or findings.of(session.db, experiment.id, source=SOURCE):
        findings.replace(session.db, SOURCE, found, experiment=experiment.id)


def _about_itself(session: Session, guard: Guard, seen: Sighted) -> list[Finding]:
    found = []
    n, margin = len(seen.base), guard.config.margin
    if is_silent(session, guard.config, seen.base):
        mean = sum(seen.base) / n
        what = f"guard {guard.name} tells nothing: the base scores {mean:.3f} on its {n} dev items"
        found.append(Finding(SOURCE, "uninformative", "warn", f"{what}, and cannot be harmed", {"mean": mean, "n": n}))
    elif why := hopeless(session, guard, seen.base, noise_of(session, experiments.get(session.db, ROOT))):
        found.append(Finding(SOURCE, "hopeless", "warn", why, {"margin": margin}))
    source = session.layout.root / guard.config.items
    if guard.config.items and source.is_file():
        what = f"{guard.config.items} still holds the held-out items of guard {guard.name} in the clear"
        found.append(Finding(SOURCE, "plain-copy", "note", f"{what}: move it off this machine"))
    return found


def hopeless(session: Session, guard: Guard, base: Sequence[float], noise: RunNoise) -> str:
    """Why not even an equal candidate could pass this guard; empty where one could."""
    n = len(suites.heldout_of(session, guard))
    bound = best_bound(n, noise, like=base)
    if bound > -guard.config.margin:
        return ""
    return (
        f"guard {guard.name} cannot hold: {n} held-out items leave a bound of {bound:.3f} for equal answers,"
        f" and its margin is {guard.config.margin:g}; a margin above {-bound:.3f}, or more items"
    )


def _harm_on_dev(session: Session, guard: Guard, seen: Sighted, experiment: Experiment) -> list[Finding]:
    said = harm(seen.ours, seen.base, noise_of(session, experiment))
    if said.holds(guard.config.margin) is not False:
        return []
    what = f"worse than the base on guard {guard.name}: {said.shown.mean:+.3f}"
    message = f"{what} [{said.shown.low:+.3f}, {said.shown.high:+.3f}] on dev, margin {guard.config.margin:g}"
    evidence = {"guard": guard.name, "mean": said.shown.mean, "low": said.shown.low, "high": said.shown.high}
    return [Finding(SOURCE, "harm", "warn", message, evidence, f"evo compare exp_0000 {experiment.id}")]


def deciding(session: Session, judge: Judge, noise: RunNoise, on_tick: OnTick = silent) -> list[Guard]:
    """The guards that a commit needs: required ones on which the base can be harmed.

    Refused where one of them could not hold whatever the candidate is: that would be a look for nothing.
    """
    found = []
    required = [guard for guard in suites.present(session, judge) if guard.config.mode == "required"]
    if required:
        complete(session, judge, ROOT, on_tick)
    for guard in required:
        seen = sighted(session, guard.config, experiments.get(session.db, ROOT))
        if seen is None:
            raise Refused(f"guard {guard.name} has no dev results of the base", hint=f"evo log {ROOT} --eval")
        if is_silent(session, guard.config, seen.base):
            continue
        if why := hopeless(session, guard, seen.base, noise):
            raise Refused(why, hint="evo config set guards …, or edit evo.yaml")
        found.append(guard)
    return found


def reading(
    session: Session, guard: Guard, ours: Mapping[str, float], base: Mapping[str, float], noise: RunNoise
) -> GuardReading:
    """The held-out bound of one guard from results by item: it stays inside the gate."""
    items: list[Item] = suites.heldout_of(session, guard)
    clusters = [item.cluster or item.id for item in items] if any(item.cluster for item in items) else None
    candidate, theirs = ([adjusted(session, guard.config, side[i.id]) for i in items] for side in (ours, base))
    said = harm(candidate, theirs, noise, clusters=clusters)
    return GuardReading(guard.name, said.lower, guard.config.margin, guard.config.mode == "required")
