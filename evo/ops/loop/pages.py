"""What a loop leaves for people: heartbeat, AGENT_CONTEXT.md, PLAN.md, experiments.jsonl.

Invariant: every page is written anew from the store, so a kill costs none; what a person wrote into a page stays
(`evo.ops.loop.margin`). Git keeps them for good: what looks like a secret in a parameter, or in words that quote one,
is masked in them.
"""

from __future__ import annotations

from evo import clock
from evo.beliefs import recall_beliefs
from evo.domain.experiment import ROOT, Experiment
from evo.domain.loop import Loop, Pick
from evo.domain.loop import Plan as Planned
from evo.files import write_json
from evo.ideas.insight import Z
from evo.ideas.secrets import masked
from evo.ops.loop import journal, margin
from evo.ops.loop.stop import ended
from evo.session import Session
from evo.store import experiments, gate_rows, listings, loops

CONTEXT, PLAN = "AGENT_CONTEXT.md", "PLAN.md"
_SHOWN = 40
_LESSONS = 10


def best_of(session: Session) -> Experiment | None:
    """The best by posterior mean; None before the baseline has a score."""
    if experiments.get(session.db, ROOT).score_mean is None:
        return None
    return experiments.get(session.db, recall_beliefs(session).best)


def beat(session: Session, loop: Loop, status: str, *, error: str = "") -> None:
    """`.evo/loop/heartbeat.json`. `iteration`: the newest that was begun; `score`: of the best experiment."""
    best = best_of(session)
    written = {
        "iteration": max((pick.k for pick in loops.picks(session.db, loop.id)), default=0),
        "status": status,
        "score": None if best is None else best.score_mean,
        "timestamp": clock.now(),
        "error": error or None,
    }
    write_json(session.layout.loop_heartbeat, written)


def write_pages(session: Session, loop: Loop) -> str:
    """What should be said of them; empty where there is nothing."""
    picks = loops.picks(session.db, loop.id)
    margin.write(session.layout.root / CONTEXT, context_page(session, loop, picks), memory=session.layout.loop)
    write_plan(session, loop)
    return journal.write(session)


def write_plan(session: Session, loop: Loop) -> None:
    text = plan_page(session, loop, loops.picks(session.db, loop.id))
    margin.write(session.layout.root / PLAN, text, memory=session.layout.loop, title="# Plan")


def context_page(session: Session, loop: Loop, picks: list[Pick]) -> str:
    """What happened, newest last: the end of the page is the newest."""
    mind = recall_beliefs(session)
    best = experiments.get(session.db, mind.best)
    committed = gate_rows.last_committed(session.db)
    lines = [
        "# What the loop has learnt",
        "",
        f"Loop {loop.id}, {loop.status}. Best: {best.id}, score {words_of(best.score_mean)};"
        f" last committed: {committed}.",
        "",
    ]
    done = ended(picks)
    written = {one.id: one.insight for one, _ in listings.with_insight(session.db, limit=_LESSONS)}
    told = {pick.experiment: pick.told["insight"] for pick in done[-_LESSONS:] if pick.told.get("insight")}
    lessons = [f"- {name}: {text}" for name, text in (told | written).items()]
    lines += ["## Lessons", "", *lessons, ""] if lessons else []
    lines += ["## Iterations", "", "| k | experiment | score | gain | of random draws | hypothesis |"]
    lines += ["|---|---|---|---|---|---|", *map(table_row, done[-_SHOWN:]), ""]
    return masked("\n".join(lines))


def table_row(pick: Pick) -> str:
    told = pick.told
    score = words_of(told.get("score")) if pick.outcome == "scored" else pick.outcome
    gain, draws = (signed(told.get(name)) for name in ("gain", "expected_of_draws"))
    hypothesis = " ".join(pick.plan.hypothesis.split()).replace("|", "/")[:120]
    return f"| {pick.k} | {pick.experiment or '–'} | {score} | {gain} | {draws} | {hypothesis} |"


def plan_page(session: Session, loop: Loop, picks: list[Pick]) -> str:
    options = loop.options
    end = f"{options.experiments} experiments" if options.experiments is not None else "no number of experiments"
    lines = [f"Loop {loop.id}: {loop.status}{f' ({loop.reason})' if loop.reason else ''}.", ""]
    lines += [f"Stops at: {options.until}, {end}. Workers: {options.workers}. Ideas from: {options.ideator}.", ""]
    open_picks = [pick for pick in picks if pick.is_open]
    lines += ["## Under way", ""] if open_picks else []
    lines += [f"- {pick.experiment or 'to be made'}: {reasoned(pick.plan)}" for pick in open_picks]
    titles = listings.idea_titles(session.db, limit=5)
    lines += ["", "## Ideas that wait", ""] if titles else []
    lines += [f"- {number}: {title}" for number, title in titles]
    return masked("\n".join([*lines, ""]))


def reasoned(plan: Planned) -> str:
    """The hypothesis, with the reason where it does not say it itself."""
    return plan.hypothesis if plan.why in plan.hypothesis else f"{plan.hypothesis} ({plan.why})"


def percent(score: float | None) -> str:
    return "no score" if score is None else f"{score:.1%}" if 0 <= score <= 1 else f"{score:.4g}"


def words_of(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def told_words(pick: Pick) -> str:
    """`iter 3: exp_0003 71.2%, gain +0.120 [+0.050, +0.190] over exp_0000, the best so far; the best of 3 random draws
    would be expected to gain +0.080`"""
    told = pick.told
    name = f"iter {pick.k}: {pick.experiment or 'no experiment'}"
    if pick.outcome != "scored":
        return f"{name} {pick.outcome}: {told.get('message', '')}"
    gain = gain_words(told.get("gain"), told.get("gain_se"))
    words = f"{name} {percent(told.get('score'))}, gain {gain} over {ROOT}"
    words += ", the best so far" if told.get("is_best") else ""
    draws = told.get("expected_of_draws")
    runs = told.get("runs")
    of = f"the best of {runs} random draws" if runs != 1 else "one random draw"
    expected = f"; {of} would be expected to gain {signed(draws)}"
    compared = "; what random draws would give is not told by one run" if draws is None else expected
    return words + compared + ("; certified" if told.get("certified") else "")


def gain_words(gain: float | None, se: float | None) -> str:
    """With its 95 % interval."""
    if gain is None or se is None:
        return signed(gain)
    return f"{signed(gain)} [{signed(gain - Z * se)}, {signed(gain + Z * se)}]"
