"""What a loop leaves for people: heartbeat, AGENT_CONTEXT.md, PLAN.md, experiments.jsonl, and a commit an iteration.

Invariant: every page is written anew from the store, so a kill costs none; what a person wrote in PLAN.md above the
line stays; a commit holds these files alone, whatever else is staged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evo import clock
from evo.beliefs import recall_beliefs
from evo.domain.experiment import ROOT
from evo.domain.loop import Loop, Pick
from evo.errors import EvoError
from evo.files import write_json, write_text
from evo.ops.loop.stop import ended
from evo.session import Session
from evo.store import experiments, gate_rows, listings, loops
from evo.workspace.repository import commit_files

CONTEXT, PLAN, JOURNAL = "AGENT_CONTEXT.md", "PLAN.md", "experiments.jsonl"
LINE = "<!-- evo loop writes below this line; what stands above it is yours -->"
_SHOWN = 40


def home(session: Session) -> Path:
    return session.layout.hidden / "loop"


def beat(session: Session, status: str, *, iteration: int, error: str = "") -> None:
    """`.evo/loop/heartbeat.json`. `score`: of the best experiment."""
    scored = experiments.get(session.db, ROOT).score_mean is not None
    best = experiments.get(session.db, recall_beliefs(session).best) if scored else None
    written = {
        "iteration": iteration,
        "status": status,
        "score": None if best is None else best.score_mean,
        "timestamp": clock.now(),
        "error": error or None,
    }
    write_json(home(session) / "heartbeat.json", written)


def write_pages(session: Session, loop: Loop) -> None:
    root, picks = session.layout.root, loops.picks(session.db, loop.id)
    write_text(root / CONTEXT, context_page(session, loop, picks))
    path = root / PLAN
    above = path.read_text(encoding="utf-8").split(LINE)[0] if path.is_file() else "# Plan\n\n"
    write_text(path, f"{above}{LINE}\n\n{plan_page(session, loop, picks)}")
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in map(journal_row, all_ended(session))]
    write_text(root / JOURNAL, "".join(f"{line}\n" for line in lines))


def all_ended(session: Session) -> list[Pick]:
    return ended(loops.picks(session.db))


def journal_row(pick: Pick) -> dict[str, Any]:
    plan = pick.plan
    return {
        "loop": pick.loop,
        "iteration": pick.k,
        "kind": pick.kind,
        "experiment": pick.experiment,
        "parent": plan.parent,
        "recipe": plan.recipe,
        "settings": plan.settings,
        "hypothesis": plan.hypothesis,
        "why": plan.why,
        "predicted": None if plan.gain is None else [plan.low, plan.gain, plan.high],
        "outcome": pick.outcome,
        **pick.told,
        "timestamp": pick.ended_at,
    }


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
    insights = [f"- {one.id}: {one.insight}" for one, _ in listings.with_insight(session.db, limit=10)]
    lines += ["## Lessons", "", *insights, ""] if insights else []
    lines += ["## Iterations", "", "| k | experiment | score | gain | of random draws | hypothesis |"]
    lines += ["|---|---|---|---|---|---|", *map(table_row, ended(picks)[-_SHOWN:]), ""]
    return "\n".join(lines)


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
    lines += [f"- {pick.experiment or 'to be made'}: {pick.plan.hypothesis} ({pick.plan.why})" for pick in open_picks]
    titles = listings.idea_titles(session.db, limit=5)
    lines += ["", "## Ideas that wait", ""] if titles else []
    lines += [f"- {number}: {title}" for number, title in titles]
    return "\n".join([*lines, ""])


def commit(session: Session, pick: Pick, extra: list[str]) -> str:
    """One commit of these pages and nothing else; its sha, or why there is none."""
    told, experiment = pick.told, pick.experiment
    head = percent(told["score"]) if pick.outcome == "scored" else pick.outcome
    lines = [f"iter {pick.k}: {head} — {' '.join(pick.plan.hypothesis.split())[:60]}", ""]
    if experiment is not None:
        lines.append(f"Evo-Experiment: {experiment}")
        facts = {"Commit": experiments.get(session.db, experiment).commit, "Weights": told.get("weights")}
        lines += [f"Evo-{name}: {value}" for name, value in facts.items() if value]
    return _committed(session, "\n".join(lines), extra)


def commit_end(session: Session, loop: Loop) -> None:
    _committed(session, f"loop {loop.id} {loop.status}: {loop.reason[:200]}", [])


def _committed(session: Session, message: str, extra: list[str]) -> str:
    try:
        return commit_files(session.layout.root, [CONTEXT, PLAN, JOURNAL, *extra], message)
    except EvoError as error:
        return f"none: {error.message[:200]}"


def percent(score: float | None) -> str:
    return "no score" if score is None else f"{score:.1%}" if 0 <= score <= 1 else f"{score:.4g}"


def words_of(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def told_words(pick: Pick) -> str:
    """`iter 3: exp_0003 71.2%, gain +0.120 over exp_0000, the best so far; 3 random draws: +0.080 expected`"""
    told = pick.told
    name = f"iter {pick.k}: {pick.experiment or 'no experiment'}"
    if pick.outcome != "scored":
        return f"{name} {pick.outcome}: {told.get('message', '')}"
    words = f"{name} {percent(told.get('score'))}, gain {signed(told.get('gain'))} over {ROOT}"
    words += ", the best so far" if told.get("is_best") else ""
    draws = told.get("expected_of_draws")
    of = f"the best of {told.get('runs')} random draws"
    compared = "" if draws is None else f"; {of} would be expected to gain {signed(draws)}"
    return words + compared + ("; certified" if told.get("certified") else "")
