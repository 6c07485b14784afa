"""How the brief, budgets, directions, plans, entries and schemas look: plain lines that a pipe can carry.

Invariant: the words of the person (constraints, directions) are printed as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.live.palette import signed
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.agent_views import (
        BriefView,
        BudgetView,
        CapView,
        DirectionsView,
        DirectionView,
        DryRunView,
        EntryView,
        MethodLogView,
        NodeView,
        PlanView,
        SchemasView,
        SchemaView,
    )


def brief(view: BriefView) -> list[Block]:
    return list(_brief(view))


def _brief(view: BriefView) -> Iterator[Block]:
    yield Text(words.one_line(view.name), style="bold", note=f"stage {view.stage.number}: {view.stage.name}")
    yield Text(f"  {words.one_line(view.stage.why, most=300)}")
    yield from _section("goal", view.goal.splitlines())
    yield from _section("constraints", view.constraints.splitlines())
    yield from _section("the person says", [_direction(one) for one in view.directions])
    yield from _section("budget left", [_cap(cap) for cap in view.budget])
    states = ", ".join(f"{n} {state}" for state, n in view.states.items())
    best = [] if view.best is None else [_node("best", view.best)]
    tree = [f"{view.experiments} experiments: {states}; looks left {view.looks_left}", *best]
    tree += [_node("committed", view.committed), _node("base", view.base)]
    yield from _section("tree", [*tree, *([f"running: {', '.join(view.running)}"] if view.running else [])])
    picks = (f"{pick.id} {signed(pick.mean)} ± {pick.sd:.3f}" for pick in view.frontier)
    yield from _section("frontier", [", ".join(picks)] if view.frontier else [])
    yield from _section(
        "failures",
        [
            f"{one.count}× {one.class_}, last {one.last}: {words.one_line(one.message, most=160)}"
            for one in view.failures
        ],
    )
    found = (f"{one.severity} {one.experiment or 'workspace'}: {one.message}" for one in view.findings)
    yield from _section("findings", list(found))
    ideas = [f"{idea.id}. {idea.title}" for idea in view.ideas]
    yield from _section(f"ideas waiting: {view.ideas_waiting}", ideas, always=True)
    yield from _section("lessons", view.lessons)
    yield from _section("method log", view.method_log)
    yield from _section("next", [f"{step.cmd}   ({step.why})" for step in view.next])
    if view.truncated:
        yield Text(f"there is more of: {', '.join(view.truncated)}", style="dim")


def _section(title: str, lines: list[str], *, always: bool = False) -> Iterator[Block]:
    if lines or always:
        yield Text(title, style="bold")
    yield from (Text(f"  {line}") for line in lines)


def _node(title: str, node: NodeView) -> str:
    return f"{title} {node.id} {words.score(node.score)}  {node.hypothesis}"


def _direction(one: DirectionView) -> str:
    acked = f" (acknowledged: {one.answer or one.acked})" if one.acked else ""
    return f"{one.id}. {one.text}{acked}"


def _cap(cap: CapView) -> str:
    name = cap.name.replace("_", " ")
    if cap.cap is None or cap.left is None:
        return f"{name}: {cap.spent:g} spent, no cap"
    held = f", {cap.reserved:g} reserved" if cap.reserved else ""
    return f"{name}: {cap.left:g} left of {cap.cap:g} ({cap.spent:g} spent{held})"


def budget(view: BudgetView) -> list[Block]:
    blocks: list[Block] = [Text(_cap(cap)) for cap in view.caps]
    rows: list[list[str | Cell]] = [
        [
            one.recipe,
            f"{one.wall_seconds:g} s",
            f"{one.gpu_seconds:g}",
            "as many as you like" if one.runs_left is None else str(one.runs_left),
        ]
        for one in view.forecasts
    ]
    return blocks + ([Text(""), Table(("RECIPE", "TAKES", "GPU-SECONDS", "RUNS LEFT"), rows)] if rows else [])


def directions(view: DirectionsView) -> list[Block]:
    told: list[Block] = [Text(view.message)] if view.message else []
    return told + [Text(_direction(one)) for one in view.directions]


def method_log(view: MethodLogView) -> list[Block]:
    more: list[Block] = [Text("the newest", style="dim", note="--limit")] if view.truncated else []
    return [Text(line) for line in view.lines] + more


def plan(view: PlanView) -> list[Block]:
    lists = {"problems": view.problems, "changes": view.changes, "guidance": view.guidance}
    blocks: list[Block] = [
        Text(f"plan of {view.experiment}", style="bold", note=f"from {view.parent}, changes {view.kind}")
    ]
    blocks += [Text(f"objective: {view.objective}"), Text(f"success: {view.success}")]
    for title, lines in lists.items():
        blocks += [Text(f"{title}:"), *(Text(f"  {line}") for line in lines or ["none seen"])]
    return blocks


def entry(view: EntryView) -> list[Block]:
    blocks: list[Block] = [Text(f"# {view.experiment}", style="bold")]
    for name in ENTRY_FIELDS:
        value = getattr(view, name)
        text = "; ".join(value) if isinstance(value, list) else value
        if isinstance(value, dict):
            text = ", ".join(f"{key}={entry}" for key, entry in value.items())
        blocks.append(Text(f"- {name.replace('_', ' ')}: {text or 'missing'}"))
    return blocks


ENTRY_FIELDS = (
    "context", "status", "motivation", "references", "start_checkpoint", "data", "method", "config", "evaluation",
    "result", "analysis", "artifacts", "next_action",
)  # fmt: skip


def dry_run(view: DryRunView) -> list[Block]:
    blocks: list[Block] = [Text(f"{view.command} would:", style="bold"), *(Text(f"  {line}") for line in view.would)]
    return blocks + [Text(f"  {key}: {value}", style="dim") for key, value in view.facts.items()]


def schema(view: SchemaView) -> list[Block]:
    rows: list[list[str | Cell]] = [
        [
            ", ".join(one.names),
            one.type + (" …" if one.many else ""),
            "required" if one.required else str(one.default),
            one.help,
        ]
        for one in view.options
    ]
    options: list[Block] = [Table(("OPTION", "TYPE", "DEFAULT", ""), rows)] if rows else [Text("no options")]
    return [Text(f"evo {view.command}", style="bold", note=view.help), *options, Text(json.dumps(view.data, indent=1))]


def schemas(view: SchemasView) -> list[Block]:
    return [Table(("COMMAND", "DATA"), [[name, ", ".join(views)] for name, views in view.commands.items()])]
