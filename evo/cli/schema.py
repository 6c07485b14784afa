"""evo schema."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main

from evo.cli.commands import BY_NAME
from evo.cli.options import leaf
from evo.cli.replies import VIEWS
from evo.domain.agent_views import OptionView, SchemasView, SchemaView
from evo.domain.json_schema import names_in_views, schema_of
from evo.domain.views import Hint, Reply
from evo.errors import NotFound, nearest

app = leaf()


@app.command()
def schema(
    command: Annotated[str | None, typer.Argument(metavar="[CMD]", help="Default: list all.")] = None,
    sub: Annotated[str | None, typer.Argument(metavar="[SUB]", help="Of a group: `set` of `config`.")] = None,
) -> Reply:
    """evo schema run

    The options of a command, and the JSON schema of `data` in its reply.
    """
    if command is None:
        return Reply(
            SchemasView({name: list(VIEWS.get(name, ())) for name in BY_NAME}),
            (Hint("evo schema run", "one command, whole"),),
        )
    if command not in BY_NAME:
        raise NotFound(f"no command named {command!r}", hint=nearest(command, BY_NAME))
    return Reply(schema_view(command, sub))


def schema_view(name: str, sub: str | None = None) -> SchemaView:
    """Options by the parser itself, data by the views themselves."""
    parser: Any = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[name].module}").app)
    below = getattr(parser, "commands", None)
    if sub is not None:
        if not below or sub not in below:
            raise NotFound(f"evo {name} has no {sub!r}", hint=nearest(sub, below or ()))
        parser = below[sub]
    elif below:
        return SchemaView(name, BY_NAME[name].help, [_group(below)], shapes(name))
    title = name if sub is None else f"{name} {sub}"
    options = [option_view(option) for option in parser.params if option.name != "help"]
    return SchemaView(title, BY_NAME[name].help, options, shapes(name))


def shapes(name: str) -> dict[str, object]:
    """View -> its schema, for every view that the command may reply with, or `--dry-run` does."""
    known = names_in_views()
    return {view: schema_of(known[view]) for view in VIEWS.get(name, ())}


def option_view(option: Any) -> OptionView:
    """An option or argument, as the parser has it."""
    is_argument = option.param_type_name == "argument"
    names = [option.make_metavar(None) if is_argument else name for name in ([""] if is_argument else option.opts)]
    many = bool(getattr(option, "multiple", False)) or option.nargs == -1
    default = option.default if isinstance(option.default, (str, int, float, bool, type(None))) else None
    kind = "flag" if getattr(option, "is_flag", False) else option.type.name.strip("_")
    return OptionView(names, kind, bool(option.required), default, many, option.help or "")


def _group(below: dict[str, Any]) -> OptionView:
    return OptionView(sorted(below), "choice", True, None, False, "one of these comes next: evo schema CMD SUB")
