"""What the leaves share: how a leaf is made, and the options that many of them take."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from evo.domain.experiment import parse_experiment_id
from evo.errors import UsageError


class _ExampleFirst:
    """Help opens with its first line: an example, never wrapped, so that it can be copied."""

    help: str | None

    def format_help(self: Any, ctx: Any, formatter: Any) -> None:
        example, _, about = inspect.cleandoc(self.help or "").partition("\n\n")
        formatter.write(f"{example}\n\n")
        self.format_usage(ctx, formatter)
        if about:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(about)
        self.format_options(ctx, formatter)


class _Command(_ExampleFirst, TyperCommand):
    pass


class _Group(_ExampleFirst, TyperGroup):
    pass


class _Leaf(typer.Typer):
    def command(self, name: str | None = None, **options: Any) -> Any:
        return super().command(name, **{"cls": _Command, **options})


def leaf(help_: str = "") -> typer.Typer:
    """A command without completion options, with `-h`, without rich markup (nothing heavy to import)."""
    return _Leaf(
        cls=_Group,
        help=help_ or None,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=bool(help_),
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _experiment(text: str) -> str:
    """typer makes its own, shorter message of a ValueError, so the words are handed over."""
    try:
        return parse_experiment_id(text)
    except UsageError as error:
        raise typer.BadParameter(f"{error.message} ({error.hint})") from None


Exp = Annotated[str, typer.Argument(metavar="EXP", help="An experiment: exp_0007, or 7.", parser=_experiment)]
MaybeExp = Annotated[str | None, typer.Argument(metavar="[EXP]", help="An experiment: exp_0007.", parser=_experiment)]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Show at most this many.")]
