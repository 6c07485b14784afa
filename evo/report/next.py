"""`evo next`: the commands that make sense now, most useful first.

Invariant: each is a command that can be typed as it stands, with its reason; the order is: what is broken, what is
owed, what is planned, what holds further work back, what the evidence asks for, what idea waits, where to branch, what
else the tree says of the search, and when one is done.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice

from evo.beliefs import Beliefs, form_beliefs, pick_parents
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.domain.read_views import NextView
from evo.domain.views import FindingView, Hint, PickView, Reply
from evo.evidence import contenders, gate_is_on, standpoint, worth_again
from evo.report import diagnose
from evo.report.live import Live, live
from evo.report.propose import step_from
from evo.report.stage import EXPLORATION, stage_of
from evo.report.waiting import offered
from evo.search.worth import of_child, of_items
from evo.session import Session, open_session
from evo.store import attempts, directions, experiments, gate_rows, ledger, listings, meta, nodes


def next_reply(*, limit: int) -> Reply:
    with open_session(readonly=True) as session:
        steps, stage = list(islice(steps_of(session), limit + 1)), stage_of(session)
    return Reply(NextView(stage, steps[:limit], truncated=len(steps) > limit), next=tuple(steps[:limit]))


def steps_of(session: Session) -> Iterator[Hint]:
    """All steps there are, most useful first."""
    now = live(session)
    yield from directed(session)
    yield from unfinished(now)
    root = experiments.get(session.db, ROOT)
    is_root_live = any(entry.id == ROOT for entry in now.running + now.stale) or ROOT in now.trained
    if root.score_mean is None:
        if not is_root_live:
            yield Hint(f"evo run {ROOT}", "the baseline has no score yet, and every gain is counted from it")
        return
    spent = spent_caps(session)
    if spent:
        yield Hint("evo budget", f"spent: {', '.join(spent)}; no further run starts unless the cap is raised")
    else:
        yield from planned(session, now)
    found = diagnose.firing(session)
    basic = [] if spent else before_any(session, found)
    yield from diagnose.steps(found, "block")
    mind = form_beliefs(session)
    yield from evidence_asks(session, mind)
    yield from left_behind(session)
    if not spent:
        yield from overlapping(session, mind)
        yield from diagnose.steps(basic, "warn")
        yield from branching(session, mind)
    yield from diagnose.steps([one for one in found if one not in basic], "warn")
    yield from ending(session)


def directed(session: Session) -> Iterator[Hint]:
    """What the person says, until it is acknowledged."""
    for said in directions.open_ones(session.db, limit=3):
        yield Hint(f"evo ack {said.id}", f"the person says: {_short(said.text, 400)}")


def spent_caps(session: Session) -> list[str]:
    """Caps that nothing is left of, so that no run would start."""
    caps = session.caps
    left = {} if caps is None else ledger.balance(session.db).left(caps)
    return [ledger.NAMES[name] for name in ("attempts", "wall_seconds", "gpu_seconds") if left.get(name, 1.0) <= 0]


def unfinished(now: Live) -> Iterator[Hint]:
    if now.stale:
        names = ", ".join(entry.id for entry in now.stale[:3])
        yield Hint("evo recover", f"gone quiet: {names}; recover ends what is dead and takes in what is finished")
    finished = [entry.id for entry in now.running if entry.stage == "finished"]
    if finished:
        yield Hint("evo sync", f"{len(finished)} finished and not taken in yet: {', '.join(finished[:3])}")
    for name in now.trained:
        yield Hint(f"evo run {name}", "it is trained; only its evaluation is owed, and that costs no attempt")
    for name in now.interrupted:
        yield Hint(f"evo run {name}", "its training was cut off and goes on at its last checkpoint")
    busy = [entry.id for entry in now.running if entry.stage != "finished"]
    if busy:
        yield Hint(f"evo wait {' '.join(busy[:3])}", f"{len(busy)} running")


def planned(session: Session, now: Live) -> Iterator[Hint]:
    """Experiments that were made and have not run, and the newest failure that may be tried again."""
    at_work = {entry.id for entry in now.running + now.stale} | {*now.trained, *now.interrupted}
    total = nodes.counts(session.db)["pending"]
    oldest = listings.with_state(session.db, "pending", limit=len(at_work) + 1)
    idle = next((entry for entry in oldest if entry.id not in at_work), None)
    if idle is not None:
        yield Hint("evo run --next", f"{idle.id} is the oldest of {total} that have not run: {_short(idle.hypothesis)}")
    for failed in listings.with_state(session.db, "failed", limit=1, newest_first=True):
        tries = attempts.of(session.db, failed.id)
        used = sum(attempt.counts and attempt.seed == failed.seed for attempt in tries)
        if failed.id not in at_work and used < session.config.max_attempts:
            why = tries[-1].failure if tries else ""
            yield Hint(f"evo log {failed.id}", f"it failed{f' ({why})' if why else ''}; {used} attempts used so far")
            reason = shlex.quote(f"it failed: {why or 'no class'}")
            yield Hint(
                f"evo discard {failed.id} --class build --reason {reason}",
                f"unless the log says how to mend it in {session.layout.worktree(failed.id)}, and evo run tries again",
            )


def evidence_asks(session: Session, mind: Beliefs) -> Iterator[Hint]:
    """The held-out question, when dev speaks for it and nothing stands in the way."""
    if not gate_is_on(session):
        return
    stand = standpoint(session, mind)
    if stand.verdict.ask and not stand.obstacle:
        measure = f"evidence {stand.verdict.evidence:.1f} of {stand.verdict.needed:.3f}"
        yield Hint(f"evo certify {stand.target}", f"dev shows it above {stand.reference} ({measure})")


def before_any(session: Session, found: Sequence[FindingView]) -> list[FindingView]:
    """What decides where the first experiment begins: texts, where the base model knows nothing and there are some."""
    if sum(nodes.counts(session.db).values()) > 1 or not (session.layout.data / "corpus").is_dir():
        return []
    return [one for one in found if one.kind == "below-chance"]


def left_behind(session: Session) -> Iterator[Hint]:
    for name in listings.open_before(session.db, session.epoch or "", limit=1):
        yield Hint(f"evo rescore {name}", "its score is of an older epoch and counts for nothing now")


def branching(session: Session, mind: Beliefs) -> Iterator[Hint]:
    """The idea that waits, or the brief that is due where local ideas have stalled; then a step of evo's own."""
    pick = pick_parents(session, mind, k=1)[0]
    parent, stage = experiments.get(session.db, pick.id), stage_of(session)
    has_stalled = stage.number == EXPLORATION
    is_first = sum(nodes.counts(session.db).values()) == 1
    waiting = list(offered(session, mind, parent, looks_outside=has_stalled or is_first))
    yield from waiting
    if has_stalled and not waiting:
        yield Hint("evo ideate", stage.why)
    yield branch(session, pick, parent)


def branch(session: Session, pick: PickView, parent: Experiment) -> Hint:
    """A new experiment from the policy's first pick, with the recipe that was used there."""
    step = step_from(session, parent)
    words = f"evo new --parent {parent.id} {recipe_words(session, parent)} -m 'what you expect, and why'"
    words = words if step is None else step.command(parent.id)
    policy = session.config.search.policy
    if parent.id == ROOT:
        return Hint(words, f"the first pick of {policy} is the base model")
    return Hint(words, f"the first pick of {policy}: shrunken estimate {pick.mean:+.3f} over {ROOT}, sd {pick.sd:.3f}")


def overlapping(session: Session, mind: Beliefs) -> Iterator[Hint]:
    """A further seed of one of the two best, where that is worth more than a new child; with what dev items would be
    worth, where they are worth more still."""
    pair = contenders(session, mind)
    if pair is None:
        return
    best, other = pair
    again = worth_again(pair)
    if again is None:
        return
    child = of_child(
        best.facts.mean + mind.posterior.prior.mu,
        mind.posterior.prior.tau,
        noise=best.facts.noise,
        best=best.facts.mean,
    )
    if again.worth <= child:
        return
    items = of_items(best.facts, other.facts)
    more = f"; twice as many dev items {items:+.4f}" if items > again.worth else ""
    why = f"{best.id} and {other.id} overlap: a further seed is worth {again.worth:+.4f}, a new child {child:+.4f}"
    yield Hint(f"evo run {again.id} --seed {again.seed}", why + more)


def recipe_words(session: Session, parent: Experiment) -> str:
    """`--recipe` as the parent had it; below the root, as the newest experiment had it."""
    like = parent
    if parent.id == ROOT:
        like = next(iter(listings.newest(session.db, limit=1)), parent)
    if like.id == ROOT or like.origin == DECLARED:  # neither was made by a recipe
        return "--recipe " + ("sft" if session.config.model.source else "command --set argv='python train.py'")
    argv = like.params.get("argv")
    return f"--recipe {shlex.quote(like.recipe)}" + (f" --set {shlex.quote(f'argv={argv}')}" if argv else "")


def ending(session: Session) -> Iterator[Hint]:
    committed = gate_rows.last_committed(session.db)
    if committed != ROOT and meta.get(session.db, "release") is None:
        yield Hint("evo release", f"when you are done: the vault says once how good {committed} really is")


def _short(text: str, most: int = 60) -> str:
    words = " ".join(text.split())
    return words if len(words) <= most else words[: most - 1] + "…"
