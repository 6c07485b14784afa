"""evo recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.errors import FileFormatError
from evo.ops import recipes as ops

app = leaf("evo recipe show sft\n\nRecipes: a folder with recipe.yaml and train.py.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recipe by name, or a folder.")]


@app.command(name="list")
def list_() -> Reply:
    """evo recipe list

    The workspace's own recipes (they shadow the shipped ones) and the shipped ones.
    """
    view, warnings = ops.listing()
    return Reply(view, (Hint("evo recipe show sft", "its parameters with their ranges"),), warnings)


@app.command()
def show(
    name: Name,
    model: Annotated[
        str, typer.Option(metavar="DIR|HF_ID", help="Advise on a LoRA's learning rate for this model.")
    ] = "",
) -> Reply:
    """evo recipe show sft --model ./model

    Technique, data, and every parameter with type, default and range.
    """
    return Reply(ops.show(name, model=model), (Hint(f"evo recipe copy {name}", "make it your own and edit it"),))


@app.command()
def copy(
    name: Name, to: Annotated[str, typer.Argument(metavar="NEW", help="Its new name; default: the same.")] = ""
) -> Reply:
    """evo recipe copy sft my-sft

    Copy a recipe into the workspace's recipes/ to edit it.
    """
    target = ops.copy(name, to)
    return Reply(
        MessageView(f"copied to {target}", {"path": str(target)}),
        (Hint(f"evo recipe check {target.name}", "after editing it"),),
    )


@app.command()
def check(name: Name) -> Reply:
    """evo recipe check my-sft

    Find what is wrong with a recipe before it costs an attempt.
    """
    found = ops.check(name)
    message = f"{name} is in order" if not found.problems else f"{name}: {len(found.problems)} problems"
    failure = FileFormatError(found.folder, found.problems[0]) if found.problems else None
    return Reply(found, failure=failure) if found.problems else Reply(MessageView(message))
