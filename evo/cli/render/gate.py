"""How the gate's power, its calibration, and what the verifier found look.

Invariant: an assumed number is called assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.live.palette import number, signed
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.gate_views import CalibrateView, PowerView, VerifyView


def power(view: PowerView) -> list[Block]:
    source = f"measured on {view.pairs} experiments" if view.pairs else "assumed: no two experiments to compare yet"
    facts = [
        ("items", f"{view.n_dev} dev, {view.n_heldout} held-out"),
        ("discordance", f"{view.discordance:.1%} ({source})"),
        ("run noise", f"{number(view.sigma_run)} ({view.sigma_source})"),
        ("asked from", f"a dev gain of {signed(view.asks_at)} (evidence {view.needed:.3f})"),
        ("certified", f"a true gain of {signed(view.certifies)} in 80 % of asks (alpha {view.alpha:g})"),
    ]
    blocks: list[Block] = [Text(f"  {name:<12}  {text}") for name, text in facts]
    rows = [[signed(need.gain), _items(need.items)] for need in view.needs]
    blocks += [Text(""), Table(("GAIN", "HELD-OUT ITEMS FOR 80 %"), rows, right=frozenset({"GAIN"}))]
    if view.asked is not None:
        said = f"a gain of {signed(view.asked.gain)} is certified in {view.asked.power:.0%} of asks"
        blocks += [Text(""), Text(said, note=f"80 % would take {_items(view.asked.items)} held-out items")]
    return blocks


def _items(items: int | None) -> str:
    return "no number: run noise alone hides it" if items is None else f"{items:,}"


def calibrate(view: CalibrateView) -> list[Block]:
    rate = f"{view.rate:.2%} [{view.low:.2%}, {view.high:.2%}]"
    blocks: list[Block] = [
        Text(f"false accepts  {rate}", style="bold", note=f"{view.accepted} of {view.draws:,} at alpha {view.alpha:g}"),
        Text(view.message, note=f"{view.n} dev items"),
    ]
    if view.seed_comparisons:
        said = (
            f"stored seeds of one recipe against each other: {view.seed_accepted} of {view.seed_comparisons} accepted"
        )
        blocks.append(Text(said))
    return blocks


def verify(view: VerifyView) -> list[Block]:
    verdict = Text(f"{view.id}  {'ok' if view.ok else 'not ok'}", style="bold green" if view.ok else "bold red")
    rows: list[list[str | Cell]] = [
        [check.name, Cell("ok" if check.ok else "no", "" if check.ok else "red"), words.one_line(check.found, most=160)]
        for check in view.checks
    ]
    blocks: list[Block] = [verdict, Table(("CHECK", "", ""), rows)]
    for found in view.findings:
        step = f"  → {found.next}" if found.next else ""
        said = f"{found.severity}: {found.source}/{found.kind}: {found.message}{step}"
        blocks.append(Text(words.one_line(said, most=300), style="red" if found.severity == "block" else "yellow"))
    return [*blocks, Text(view.message, style="dim")] if view.message else blocks
