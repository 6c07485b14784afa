"""How a diagnosis looks: what fires, why answers are wrong, training beside evaluation, what to believe beforehand.

Invariant: every number that is shown is evidence of the line above it.
"""

from __future__ import annotations

import json

from evo.cli.blocks import Block, Cell, Table, Text, width
from evo.cli.live.palette import number, signed
from evo.cli.render import words
from evo.domain.diagnose_views import DiagnoseView, FormatView, SidesView
from evo.domain.views import FindingView

STYLES = {"block": "red", "warn": "yellow", "note": "dim"}
LONGEST_EVIDENCE = 300


def diagnosis(view: DiagnoseView) -> list[Block]:
    blocks: list[Block] = (
        [Text(f"{view.acknowledged}: on record that you have looked", "green")] if view.acknowledged else []
    )
    if not view.findings:
        blocks.append(
            Text("✓ nothing fires" if view.experiment is None else f"✓ nothing was found on {view.experiment}", "green")
        )
    for found in view.findings:
        blocks += finding(found)
    if view.experiment is None:
        blocks.append(Text(f"dev worn: {'yes' if view.dev_worn else 'no'}"))
    if view.modes:
        rows = [(mode.label, mode.message, mode.next) for mode in view.modes]
        blocks += [Text(""), Table((f"{view.modes_of} FAILS BY", "", "NEXT"), rows)]
    if view.sides is not None:
        blocks += [Text(""), *sides(view.sides)]
    if view.priors:
        rows = [(str(n), prior.name, prior.here) for n, prior in enumerate(view.priors, 1)]
        blocks += [Text(""), Table(("", "BELIEVE FIRST", "HERE"), rows)]
    return blocks


def finding(view: FindingView) -> list[Block]:
    head = f"{view.severity}: {view.kind}" + (f" (finding {view.id})" if view.id else "")
    said: list[Block] = [
        Text(head, "dim" if view.settled else STYLES.get(view.severity, ""), note=words.one_line(view.settled)),
        Text(f"  {words.one_line(view.message)}"),
        Text(f"  {words.one_line(json.dumps(view.evidence, ensure_ascii=False), most=LONGEST_EVIDENCE)}", "dim"),
    ]
    return said + ([Text(f"  → {words.one_line(view.next)}")] if view.next and not view.settled else [])


def sides(view: SidesView) -> list[Block]:
    """Training rows left, evaluation prompts right; texts as the model reads them."""
    room = max(24, (width() - 12) // 2)
    rows: list[list[str | Cell]] = []
    for n in range(max(len(view.training), len(view.evaluation))):
        trained = view.training[n] if n < len(view.training) else None
        asked = view.evaluation[n] if n < len(view.evaluation) else None
        left = "–" if trained is None else _visible(trained.text, room)
        rows.append([str(n + 1), left, "–" if asked is None else _visible(asked.text, room)])
        mark = "" if trained is None or trained.score is None else f" (its scorer: {number(trained.score)})"
        answer = "" if trained is None else f"teaches {_visible(trained.answer or '', room - 24)}{mark}"
        output = (
            ""
            if asked is None
            else f"wants {_visible(asked.target or '', 20)}, got {_visible(asked.output or '', room - 34)}"
        )
        rows.append(["", answer, output])
    blocks: list[Block] = [Table(("", "TRAINING", "EVALUATION"), rows)]
    blocks += [Text(f"  {side}: {'; '.join(found)}") for side, found in view.forms.items() if found]
    blocks += [Text(f"  {words.one_line(view.problem)}", "dim")] if view.problem else []
    return [*blocks, Text(words.one_line(view.verdict), "bold")]


def _visible(text: str, most: int) -> str:
    """One line in which line breaks can be seen; the end is kept, where the answer stands."""
    line = words.printable(text.replace("\n", "⏎"))
    return line if len(line) <= most else "…" + line[-max(1, most - 1) :]


def format(view: FormatView) -> list[Block]:
    numbers = (
        f"{number(view.zero_shot)} without, {number(view.few_shot)} with {view.shots} examples before the question"
    )
    spread = f"{signed(view.delta)} [{signed(view.low)}, {signed(view.high)}] on {view.n} dev items"
    return [
        Text(f"exp_0000: {numbers}", "bold", note="scratch, not a score"),
        Text(f"  {spread}"),
        Text(f"  {view.message}"),
    ]
