"""evo demo."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from evo.cli.live.show import can_draw, shown
from evo.cli.options import leaf
from evo.cli.output import warn
from evo.domain.demo_view import DemoView
from evo.domain.experiment import ROOT
from evo.domain.views import Hint, Reply
from evo.ops import demo as ops
from evo.ops.progress import OnTick, silent
from evo.report.loop import loop_view
from evo.report.tree import tree_view
from evo.session import Session, open_session

app = leaf()


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default="a temporary one")
    ] = None,
) -> Reply:
    """evo demo

    Grow a real tree of training runs on a tiny model: offline, on the CPU, in a few minutes. The workspace is kept.
    """
    root = ops.place(folder)
    warn(f"a workspace in {root}: a small model that adds badly, 600 sealed sums, six ideas, then evo loop on its own")
    ops.lay_out(root)
    with open_session(root) as session:
        with watched(root) as (say, on_tick):
            grown = ops.grow(session, say, on_tick)
        view = view_of(session, grown)
    return Reply(view, hints(view))


@contextmanager
def watched(root: Path) -> Iterator[tuple[ops.Say, OnTick]]:
    """The live screen on a terminal, a line for each event elsewhere."""
    if not can_draw(sys.stderr):
        yield warn, silent
        return
    with shown(root) as screen:
        yield screen.say, screen.tick


def view_of(session: Session, grown: ops.Grown) -> DemoView:
    return DemoView(
        workspace=str(session.layout.root),
        experiments=tree_view(session, ROOT).nodes,
        picked_by=grown.picked_by,
        failures=grown.failures,
        committed=grown.committed,
        certificate=grown.certificates.get(grown.committed or ""),
        certificates=grown.certificates,
        vault=grown.vault,
        seconds=grown.seconds,
        message=grown.message,
        loop=None if grown.loop is None else loop_view(session, grown.loop),
    )


def hints(view: DemoView) -> tuple[Hint, ...]:
    steps = [
        Hint(f"cd {view.workspace}", "an ordinary workspace: everything below works there"),
        Hint("evo tree", "the tree as it stands; evo next says how to go on"),
        Hint(f"evo show {view.committed or ROOT}", "one experiment, whole"),
    ]
    if view.committed and view.certificate:
        against = view.certificate.against
        steps.append(Hint(f"evo compare {against} {view.committed}", "paired difference, flipped items, what changed"))
    return tuple(steps)
