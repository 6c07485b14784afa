"""How text that others wrote looks: diffs, logs, answers, notes, scripts.

Invariant: nothing of it reaches the terminal as a control character.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text, width
from evo.cli.live.palette import number
from evo.cli.render import words
from evo.cli.render.experiment import changes, files

if TYPE_CHECKING:
    from evo.domain.read_views import DiffView, EventLogView, LogView, NotesView, ScriptView
    from evo.domain.views import FailuresView

DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan", "d": "bold"}


def diff(view: DiffView) -> list[Block]:
    blocks: list[Block] = [Text(f"{view.experiment} against {view.against}", style="bold")]
    blocks += changes(view.changes, view.against, view.experiment) + files(view.files)
    if not view.files and not view.changes:
        blocks.append(Text("nothing differs"))
    if view.text:
        blocks.append(Text(""))
        blocks += [Text(line, style=DIFF_STYLES.get(line[:1], "")) for line in view.text.split("\n")]
    if view.truncated:
        blocks.append(Text("… there is more", style="dim", note="--limit"))
    return blocks


def log(view: LogView) -> list[Block]:
    if not view.lines:
        return [Text(f"the {view.kind} log of {view.experiment}, attempt {view.attempt}, is empty", note=view.path)]
    blocks: list[Block] = [Text("… there is more above", style="dim", note=view.path)] if view.truncated else []
    return blocks + [Text(line) for line in view.lines]


def events(view: EventLogView) -> list[Block]:
    room = max(20, width() - 60)
    rows = [
        [
            words.moment(event.at),
            event.kind,
            event.experiment or "–",
            "–" if event.attempt is None else str(event.attempt),
            words.one_line(json.dumps(event.data, ensure_ascii=False) if event.data else "", most=room),
        ]
        for event in view.events
    ]
    return [Table(("AT (UTC)", "EVENT", "EXPERIMENT", "ATTEMPT", ""), rows, right=frozenset({"ATTEMPT"}))]


def failures(view: FailuresView) -> list[Block]:
    if not view.items:
        return [Text(f"{view.experiment} gets every dev item right")]
    room = max(16, (width() - 46) // 3)
    has_slices = any(item.slice for item in view.items)
    rows: list[list[str | Cell]] = [
        [
            words.one_line(item.id, most=18),
            *([words.one_line(item.slice, most=16)] if has_slices else []),
            number(item.score),
            *(words.one_line(text, most=room) for text in (item.input, item.expected, item.output)),
        ]
        for item in view.items
    ]
    titles = ("ITEM", *(("SLICE",) if has_slices else ()), "SCORE", "INPUT", "EXPECTED", "OUTPUT")
    blocks: list[Block] = [Table(titles, rows, right=frozenset({"SCORE"}))]
    if view.truncated:
        blocks.append(Text(f"{len(view.items)} of {view.total:,} shown", style="dim", note="--limit"))
    return blocks


def notes(view: NotesView) -> list[Block]:
    if not view.notes:
        return [Text("nothing was noted")]
    rows = [
        [words.moment(note.at), note.experiment or "workspace", note.kind, words.one_line(note.text, most=2000)]
        for note in view.notes
    ]
    blocks: list[Block] = [Table(("AT (UTC)", "EXPERIMENT", "", "TEXT"), rows)]
    return blocks + ([Text(f"{len(rows)} shown", style="dim", note="--limit")] if view.truncated else [])


def script(view: ScriptView) -> list[Block]:
    return [Text(line) for line in view.text.rstrip("\n").split("\n")]
