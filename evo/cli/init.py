"""evo init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.upkeep_views import InitView
from evo.domain.views import Hint, Reply
from evo.errors import UsageError
from evo.ops import init as ops
from evo.ops.ideas.lessons import recall_at_init
from evo.ops.judging import sealing

app = leaf()

SCALAR = "a key of evo.yaml, as in `evo config set`"


@app.command(context_settings={"allow_extra_args": True})
def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The workspace: a new folder, or a project of yours.")],
    model: Annotated[str | None, typer.Option("--model", help="Base model: a folder, or a hub id.")] = None,
    template: Annotated[str | None, typer.Option("--template", help="default or command.")] = None,
    gold: Annotated[Path | None, typer.Option("--gold", help="Gold items (JSONL); evo splits and seals them.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Shares of dev/held-out/vault: 50/30/20.")] = None,
    dev: Annotated[Path | None, typer.Option("--dev", help="Dev items, where you have split them yourself.")] = None,
    heldout: Annotated[Path | None, typer.Option("--heldout", help="Held-out items.")] = None,
    vault: Annotated[Path | None, typer.Option("--vault", help="Vault items.")] = None,
    train: Annotated[Path | None, typer.Option("--train", help="Training rows; become data/train.jsonl.")] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="exact, json_cmd, regex, choice, math, custom.")
    ] = None,
    chat_template: Annotated[
        str | None, typer.Option("--chat-template", help="FILE or from:MODEL, for a base model without one.")
    ] = None,
    eval_command: Annotated[str | None, typer.Option("--eval-command", help="A command that scores.")] = None,
    eval_files: Annotated[
        list[Path] | None, typer.Option("--eval-files", help="Files that the command needs; repeat, or name several.")
    ] = None,
    guards: Annotated[
        list[str] | None, typer.Option("--guards", metavar="SUITE", help="What a commit must not harm: basics.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SCALAR)] = None,
) -> Reply:
    """evo init my-task --model ./SmolLM2-135M --gold gold.jsonl --train train.jsonl --scorer exact

    Make a workspace: git repository, evo.yaml, sealed splits, pinned base model, the baseline exp_0000.
    """
    request = ops.InitRequest(
        folder=folder,
        model=model,
        template=template,
        gold=sealing.GoldRequest(gold, split, dev, heldout, vault),
        train=train,
        scorer=scorer,
        chat_template=chat_template,
        eval_command=eval_command,
        eval_files=files_of(eval_files, context.args),
        guards=tuple(guards or ()),
        settings=tuple(pair(text) for text in settings or ()),
    )
    done = ops.init(request)
    return reply_of(done, learnt=len(recall_at_init(done.root)))


def files_of(named: list[Path] | None, more: list[str]) -> tuple[Path, ...]:
    """`--eval-files a b c`: the parser takes one word for an option, the rest is left over."""
    if more and not named:
        raise UsageError(f"unexpected words: {' '.join(more)}", hint="evo init -h")
    return (*(named or ()), *map(Path, more))


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write KEY=VALUE")
    return key, value


def reply_of(done: ops.Initialised, *, learnt: int = 0) -> Reply:
    splits = done.plan.splits if done.plan else None
    power = sealing.power(len(splits.dev), len(splits.heldout), alpha=done.alpha) if splits else None
    view = InitView(
        root=str(done.root),
        baseline="exp_0000",
        model=str(done.pin.path) if done.pin else None,
        model_sha256=done.pin.weights_sha256 if done.pin else None,
        splits={"dev": len(splits.dev), "heldout": len(splits.heldout), "vault": len(splits.vault)} if splits else {},
        asks_at=power.asks_at if power else None,
        certifies=power.certifies if power else None,
    )
    step = Hint(f"cd {done.root}", "the commands below work there")
    if splits is None and not done.is_scalar:
        return Reply(
            view, (step, Hint("evo data seal --gold gold.jsonl", "there is nothing to measure with yet")), done.warnings
        )
    steps = [step, Hint("evo run exp_0000", "score the baseline")]
    if learnt:
        steps.append(Hint("evo lessons", f"{learnt} lessons of earlier workspaces bear on this one"))
    if done.awaits_scorer:
        steps.insert(1, Hint("$EDITOR scorer.py", "def score(expected: str, actual: str) -> float"))
    return Reply(view, tuple(steps), done.warnings)
