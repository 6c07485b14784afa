"""`evo mcp`: the tree as tools of the Model Context Protocol, over standard input and output.

Promises: the structured content of a reply is the envelope that the command prints under `--json`, word for word, and
its text is the same; an error is a tool error with the envelope's code, message and hint. One server speaks of one
workspace, that of its working directory. Invariant: nothing but the protocol reaches standard output: the SDK keeps
that descriptor to itself, and processes that a command starts write to standard error.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from evo.agent.tools import TOOLS, description, input_schema, options, words
from evo.cli import app, output
from evo.cli.commands import BY_NAME
from evo.cli.progress import LISTENER, Words
from evo.errors import EvoError, NotFound, Refused, nearest
from evo.ops.progress import OnTick, Tick

MOST_CHARS = 60_000
"""Of one reply: a client cuts longer ones where it likes, in the middle of a document."""
EVERY_S = 1.0
"""Between two messages of progress."""
INSTRUCTIONS = """\
evo grows a tree of post-training experiments and measures each one itself. Call brief first: goal, hard constraints, \
budget, best node, what to do next. Then new, run, wait, show. Each reply has `data`, `next` (commands with their \
reasons), `warnings`, and `budget` where something is capped. What is not here (certify, release, sealed items) is the \
person's, in a shell."""
ENVELOPE = {
    "type": "object",
    "properties": {
        "schema": {"const": output.SCHEMA},
        "ok": {"type": "boolean"},
        "data": {"type": "object"},
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
            "required": ["code", "message", "hint"],
        },
        "next": {"type": "array", "items": {"type": "object"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "budget": {"type": "object"},
    },
    "required": ["schema", "ok", "next", "warnings"],
}
"""`evo schema CMD` has the shape of `data`; it is not repeated here, where every client would read all of them."""


def serve() -> None:
    """Answer until standard input is closed."""
    anyio.run(_serve)


async def _serve() -> None:
    server: Server[Any] = Server(
        "evo", version=version("evo-tree"), instructions=INSTRUCTIONS, on_list_tools=_list, on_call_tool=_call
    )
    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


async def _list(context: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
    del context, params
    return ListToolsResult(tools=[_described(name) for name in TOOLS])


def _described(name: str) -> Tool:
    reads = TOOLS[name].reads
    hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=name == "ideate")
    return Tool(
        name=name,
        description=description(name),
        input_schema=input_schema(name),
        output_schema=ENVELOPE,
        annotations=hints,
    )


async def _call(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    """Answer in a thread of its own, so that a long wait holds up nobody; a client that cancels ends it."""
    gone = threading.Event()
    on_tick = _teller(context, gone)

    def work() -> dict[str, Any]:
        LISTENER.set(on_tick)  # of this thread's own context
        return answer(params.name, params.arguments or {})

    try:
        document = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    finally:
        gone.set()
    return CallToolResult(
        content=[TextContent(text=_text(document))], structured_content=document, is_error=not document["ok"]
    )


def _teller(context: ServerRequestContext[Any], gone: threading.Event) -> OnTick:
    """What hears the ticks of one call: progress for a client that asked for it, at most once in `EVERY_S`."""
    began = told = time.monotonic()
    said = Words()

    def tell(tick: Tick) -> None:
        nonlocal told
        if gone.is_set():
            raise KeyboardInterrupt  # as in a shell: sessions are closed, and detached runs go on
        if time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            anyio.from_thread.run(context.session.report_progress, told - began, None, said.of(tick))

    return tell


def answer(name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """The envelope of one call, at most about `MOST_CHARS` long: a list that is longer is cut, and says so."""
    try:
        if name not in TOOLS:
            raise unknown(name)
        document = app.answer(words(name, arguments))
        return document if len(_text(document)) <= MOST_CHARS else _cut(document, name, arguments)
    except EvoError as error:
        return output.error_document(error)


def unknown(name: str) -> EvoError:
    """What is said of a name that is no tool."""
    if name in BY_NAME:
        return Refused(f"{name} is no tool", hint=f"evo {name} is a command, for a shell")
    return NotFound(f"no tool named {name!r}", hint=nearest(name, TOOLS))


def _cut(document: dict[str, Any], name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """The answer to the same question under a smaller limit, where it is a reading that has one."""
    if not TOOLS[name].reads or "limit" not in options(name):
        return document
    limit = int(str(arguments.get("limit") or options(name)["limit"].schema["default"]))  # its parser took it
    while len(_text(document)) > MOST_CHARS and limit > 1:
        limit //= 2
        document = app.answer(words(name, {**arguments, "limit": limit}))
        document["warnings"].append(f"cut to a limit of {limit}: the reply would have passed {MOST_CHARS:,} characters")
    return document


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
