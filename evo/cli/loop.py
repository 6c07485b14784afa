"""evo loop."""

from __future__ import annotations

from typing import Annotated

import typer

from evo import registry
from evo.cli.options import leaf
from evo.cli.rounds import rounds
from evo.domain.loop import LoopOptions
from evo.domain.views import Reply
from evo.errors import UsageError
from evo.ops.loop.drive import LoopRequest
from evo.ops.loop.drive import loop as drive
from evo.ops.loop.stop import POLICIES
from evo.report.loop import loop_reply
from evo.session import Session, open_session
from evo.workspace.recipes import find_folder

app = leaf()


@app.command()
def loop(
    experiments: Annotated[
        int | None, typer.Option("--experiments", "-n", min=1, help="How many to make. Default: loop.max-iterations.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=64, help="Runs at a time.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="target (certified), budget, stall:K rounds without gain, or never.")
    ] = None,
    ideator: Annotated[
        str, typer.Option("--ideator", help="Where ideas come from: kb, anthropic or none. Default: ideas.source.")
    ] = "",
    policy: Annotated[
        str, typer.Option("--policy", help="Who chooses parents; iid: independent draws below the base.")
    ] = "",
    recipes: Annotated[str, typer.Option("--recipes", help="Recipes to use: a,b. Default: the workspace's own.")] = "",
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of what the loop draws. Default: search.seed.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="The same key never begins a second loop.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="A new loop, whatever became of the last.")] = False,
    leave_running: Annotated[
        bool, typer.Option("--leave-running", help="On SIGTERM or Ctrl-C leave runs to their end.")
    ] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Each event as a JSON line on stdout.")] = False,
) -> Reply:
    """evo loop --experiments 12 --workers 2

    Plan, branch, run, gate, learn, again. A loop that was cut off goes on where it stopped, and one that is at its end
    with a higher number. Without key and network it moves the parameters that recipes give a range, by what the tree
    has shown.
    """
    if ideator not in ("", "kb", "none") and (problem := registry.problem("source", ideator)):
        raise UsageError(f"--ideator: {problem}", hint="or kb, or none")
    if until is not None and not until.strip():
        raise UsageError(f"--until {until!r}: not a stop policy", hint=POLICIES)
    with open_session() as session:
        draws = session.config.search.seed if seed is None else seed
        asked = LoopOptions(experiments, until or "", workers or 0, ideator, policy, parted(recipes), draws)
        given = {"experiments": experiments, "until": until, "workers": workers, "ideator": ideator, "policy": policy}
        given |= {"recipes": recipes, "seed": seed}
        said = frozenset(name for name, value in given.items() if value not in (None, ""))
        request = LoopRequest(options_of(session, asked), said, key, leave_running, fresh)
        with rounds(json_lines=json_lines) as screen:
            ended = drive(session, request, screen.tell, screen.watch)
        return loop_reply(session, ended)


def options_of(session: Session, asked: LoopOptions) -> LoopOptions:
    """What was not said, from evo.yaml; names checked."""
    settings = session.config
    for name in asked.recipes:
        find_folder(session.layout, name)
    if asked.policy and (problem := registry.problem("policy", asked.policy)):
        raise UsageError(f"--policy: {problem}")
    until = asked.until or ("target" if settings.loop.target is not None else "budget")
    number = asked.experiments
    if number is None and until in ("budget", "target"):
        number = settings.loop.max_iterations
    return LoopOptions(
        experiments=number,
        until=until,
        workers=asked.workers or settings.run.slots,
        ideator=asked.ideator or settings.ideas.source,
        policy=asked.policy,
        recipes=asked.recipes,
        seed=asked.seed,
    )


def parted(words: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
