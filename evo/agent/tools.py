"""The commands that are tools for a coding agent, as the command line's own parser describes them.

Invariant: a tool is a command: its options, its checks, its reply. What is no tool cannot be reached, whatever a caller
writes: `certify`, `release` and whatever else touches sealed items are left to the person's shell.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer.main

from evo.cli.commands import BY_NAME
from evo.errors import UsageError, nearest
from evo.lightdata import dataclass, field

JSON_TYPES = {"int": "integer", "int range": "integer", "float": "number", "float range": "number"}


@dataclass(frozen=True)
class Tool:
    """`command`: one word, or two of a group. `always`: options that every call has. `without`: those that no call can
    have. `defaults`: other ones than the command's. `about` follows its help."""

    command: str
    reads: bool = False
    always: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    defaults: Mapping[str, object] = field(default_factory=dict)
    about: str = ""


_TOOLS = (
    Tool("status", reads=True),
    Tool("tree", reads=True),
    Tool("show", reads=True),
    Tool("brief", reads=True, about="Read it first, and again whenever your context was cut."),
    Tool("next", reads=True),
    Tool("ideate"),
    Tool("ideas take"),
    Tool("new"),
    Tool(
        "run",
        always=("--detach",),
        without=frozenset({"detach", "smoke", "executor", "json-lines"}),
        about="It returns once the run has begun: wait for its end. The first one of a workspace scores the baseline "
        "before, and the first one of a recipe is tried on ten rows.",
    ),
    Tool(
        "wait", defaults={"timeout": "50"}, about="Clients give up after a minute: when it is busy still, wait again."
    ),
    Tool("diff", reads=True),
    Tool("failures", reads=True),
    Tool("discard"),
    Tool("note"),
    Tool("diagnose", without=frozenset({"format", "shots", "items"})),
    Tool("ack"),
)
TOOLS = {tool.command.replace(" ", "-"): tool for tool in _TOOLS}


@dataclass(frozen=True)
class Option:
    """An option or argument; `flag` is what is written before its value, empty for an argument."""

    name: str
    flag: str
    schema: dict[str, Any]
    is_required: bool
    is_switch: bool


@cache
def options(name: str) -> dict[str, Option]:
    """The options of a tool by their names: `--from-artifact` is `from-artifact`, the argument `EXP` is `exp`."""
    tool = TOOLS[name]
    found = {option.name: option for option in map(_option, _parser(name).params)}
    return {key: option for key, option in found.items() if key not in {"help", *tool.without}}


def _parser(name: str) -> Any:
    word, *below = TOOLS[name].command.split()
    parser: Any = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[word].module}").app)
    return parser.commands[below[0]] if below else parser


def _option(param: Any) -> Option:
    is_argument = param.param_type_name == "argument"
    flag = "" if is_argument else max(param.opts, key=len)
    name = param.make_metavar(None).strip("[]….").lower() if is_argument else flag.lstrip("-")
    is_switch = bool(getattr(param, "is_flag", False))
    schema: dict[str, Any] = {"type": "boolean" if is_switch else JSON_TYPES.get(param.type.name, "string")}
    for bound, word in (("min", "minimum"), ("max", "maximum")):
        if getattr(param.type, bound, None) is not None:
            schema[word] = getattr(param.type, bound)
    if bool(getattr(param, "multiple", False)) or param.nargs == -1:
        schema = {"type": "array", "items": schema}
    elif isinstance(param.default, (str, int, float)) and not is_switch and param.default != "":
        schema["default"] = param.default
    form = "" if is_argument or param.metavar is None else f"{param.metavar}: "
    return Option(name, flag, schema | {"description": f"{form}{param.help or ''}"}, bool(param.required), is_switch)


def description(name: str) -> str:
    """What the command's help says, without the example."""
    _, _, about = inspect.cleandoc(_parser(name).help or "").partition("\n\n")
    return " ".join(f"{about} {TOOLS[name].about}".split())


def input_schema(name: str) -> dict[str, Any]:
    """The JSON schema of a tool's arguments. Unknown ones are refused."""
    known = options(name)
    properties = {key: dict(option.schema) for key, option in known.items()}
    for key, value in TOOLS[name].defaults.items():
        properties[key]["default"] = value
    required = [key for key, option in known.items() if option.is_required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def words(name: str, arguments: Mapping[str, object]) -> list[str]:
    """The command line of a call. UsageError for an argument that the tool does not have; values are the parser's."""
    known = options(name)
    unknown = next((key for key in arguments if key not in known), None)
    if unknown is not None:
        raise UsageError(f"{name} has no argument {unknown!r}", hint=nearest(unknown, known))
    told = {**TOOLS[name].defaults, **{key: value for key, value in arguments.items() if value is not None}}
    flagged = [word for key, value in told.items() if known[key].flag for word in _spelled(known[key], value)]
    bare = [
        str(value) for key in known if not known[key].flag and key in told for value in _values(known[key], told[key])
    ]
    return [*TOOLS[name].command.split(), *TOOLS[name].always, *flagged, *(["--", *bare] if bare else [])]


def _spelled(option: Option, value: object) -> Iterator[str]:
    if not option.is_switch:
        glue = "=" if option.flag.startswith("--") else ""
        yield from (f"{option.flag}{glue}{entry}" for entry in _values(option, value))
    elif not isinstance(value, bool):
        raise UsageError(f"{option.name} is true or false, not {value!r}")
    elif value:
        yield option.flag


def _values(option: Option, value: object) -> list[object]:
    """The values of one argument: many where it takes many. A single text stands for a list of one."""
    values = value if isinstance(value, list) and option.schema["type"] == "array" else [value]
    wrong = next(
        (entry for entry in values if isinstance(entry, bool) or not isinstance(entry, (str, int, float))), None
    )
    if wrong is not None:
        raise UsageError(f"{option.name}: {wrong!r} is no text and no number")
    return values
