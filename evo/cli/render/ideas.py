"""How ideas, recommendations, lessons and calibration look.

Invariant: a reference is printed with its status, and one that leads elsewhere is struck out; a prediction is printed
with its interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.live.palette import signed
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.idea_views import (
        CalibrationView,
        IdeaCheckView,
        IdeaDetailView,
        IdeasView,
        LessonsView,
        NeighbourView,
        RecommendView,
        ReferenceView,
    )


def ideas(view: IdeasView) -> list[Block]:
    blocks: list[Block] = [Text(view.brief, style="bold", note=view.why)] if view.brief else []
    for idea in view.ideas:
        state = "" if idea.state == "open" else f"{idea.state}{f' as {idea.experiment}' if idea.experiment else ''}"
        blocks.append(Text(f"{idea.id}. {words.one_line(idea.title, most=110)}", style="bold", note=state))
        blocks.append(Text(f"   {_step(idea)}   {_effect(idea)}"))
        blocks += [Text(f"   {_reference(each)}", style=_style(each)) for each in idea.references[:2]]
        if not idea.references:
            blocks.append(Text("   no reference", style="dim"))
    if view.truncated:
        blocks.append(Text("there are more: --limit", style="dim"))
    return blocks or [Text("no ideas")]


def idea(view: IdeaDetailView) -> list[Block]:
    return list(_idea(view))


def _idea(view: IdeaDetailView) -> Iterator[Block]:
    came_of_it = f"{view.state}{f' as {view.experiment}' if view.experiment else ''}"
    yield Text(
        f"{view.id}. {words.one_line(view.title)}", style="bold", note=f"{came_of_it}, {view.brief}, by {view.source}"
    )
    yield Text(f"  {words.one_line(view.hypothesis)}")
    yield Text(f"  {_step(view)}   {_effect(view)}")
    lines = {
        "from": view.parent or "where the policy branches",
        "rests on": view.rationale,
        "refuted by": view.refuted_by,
        "risks": view.risks,
        "data": view.data_source,
        "cost": "" if view.gpu_seconds is None else f"{view.gpu_seconds:.0f} s of GPU or CPU, by earlier runs",
        "novelty": f"{view.novelty:.2f}: {view.differs}" if view.recipe else "",
        "speaks for it": ", ".join(view.confidence),
        "based on": ", ".join(view.based_on),
        "reason": view.reason,
    }
    yield from (Text(f"  {name}: {words.one_line(text, most=300)}") for name, text in lines.items() if text)
    yield from (Text(f"  type: {command}") for command in view.commands)
    for each in view.references:
        yield Text(f"  {_reference(each)}", style=_style(each))
        yield Text(f"    {words.one_line(each.finding, most=300)}")
    if not view.references:
        yield Text("  no reference", style="dim")


def _step(view: IdeaDetailView) -> str:
    if not view.recipe:
        return "; ".join(view.commands)
    patch = " ".join(f"{name}={value}" for name, value in view.patch.items())
    return f"{view.recipe} {patch or 'as it is'}" + (f" from {view.parent}" if view.parent else "")


def _effect(view: IdeaDetailView) -> str:
    if view.gain is None or view.low is None or view.high is None:
        return ""
    return f"expects {signed(view.gain)} [{signed(view.low)}, {signed(view.high)}]"


def _reference(each: ReferenceView) -> str:
    level = f", {each.level}" if each.level else ""
    return f"[{each.status}{level}] {words.one_line(each.title, most=90)} {each.url}"


def _style(each: ReferenceView) -> str:
    return {"verified": "", "mismatch": "strike red", "not_found": "red"}.get(each.status, "dim")


def check(view: IdeaCheckView) -> list[Block]:
    blocks: list[Block] = [Text(view.verdict, style="bold", note=f"novelty {view.novelty:.2f}")]
    parts = (("in the tree", view.tree), ("in the knowledge base", view.knowledge), ("on the network", view.papers))
    for title, found in parts:
        if found:
            blocks += [Text(title, style="bold"), *(_neighbour(each) for each in found)]
    return blocks


def _neighbour(each: NeighbourView) -> Text:
    name = each.id if each.what == "experiment" else f"{each.what} {each.id}"
    status = f" [{each.status}]" if each.status else ""
    outcome = words.one_line(each.outcome, most=110)
    return Text(f"  {each.likeness:.2f} {name}: {words.one_line(each.text, most=110)}", note=f"{outcome}{status}")


def recommend(view: RecommendView) -> list[Block]:
    rows = [(each.shape, each.technique, each.recipe or "no recipe", each.why) for each in view.techniques]
    blocks: list[Block] = [Table(("reward", "technique", "recipe", "why"), rows)] if rows else []
    blocks += [Text(f"against it: {note}") for note in view.notes]
    blocks.append(Text("priors, the strongest first", style="bold"))
    blocks += [Text(f"  {n}. {prior.name}: {prior.why}", note=prior.here) for n, prior in enumerate(view.priors, 1)]
    return blocks


def lessons(view: LessonsView) -> list[Block]:
    rows = [
        (
            Cell(each.relation, style="dim"),
            each.experiment,
            words.one_line(each.text, most=200) + (f"   (from {each.origin})" if each.origin else ""),
        )
        for each in view.lessons
    ]
    return [Table(("", "experiment", "lesson"), rows)] if rows else [Text("no lessons yet")]


def calibration(view: CalibrationView) -> list[Block]:
    briefs = [
        (
            each.brief, str(each.n), signed(each.predicted), signed(each.observed), f"{each.rmse:.3f}",
            f"{each.coverage:.0%}", str(each.refuted),
        )
        for each in view.briefs
    ]  # fmt: skip
    titles = ("brief", "ideas", "predicted", "observed", "rmse", "in interval", "refuted")
    outcomes = [
        (
            str(each.id), each.experiment, each.brief, f"{signed(each.gain)} [{signed(each.low)}, {signed(each.high)}]",
            f"{signed(each.observed)} ± {each.half_width:.3f}", each.state,
        )
        for each in view.outcomes
    ]  # fmt: skip
    if not briefs:
        return [Text("no outcomes yet")]
    return [
        Table(titles, briefs, right=frozenset(titles[1:])),
        Table(("idea", "experiment", "brief", "predicted", "observed", "state"), outcomes),
    ]
