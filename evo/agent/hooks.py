"""What the plugin's hooks answer: sealed files stay closed, `evo brief` after every cut of memory, rounds while armed.

One JSON document comes in on stdin, at most one goes out (the format of Claude Code, which Codex reads too).
Invariant: outside a workspace nothing is said, and no trouble of ours stops a client: what cannot be read is allowed,
with a note on standard error. Within one, a call that is more than can be looked through is refused.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from evo.agent import paths, scans
from evo.agent.paths import DATABASE, GOLD, HIDDEN, SEALED, Place, Undecided
from evo.domain.plugin_views import HookView
from evo.domain.views import Reply
from evo.errors import EvoError, NotAWorkspace

MOST_STDIN = 4_000_000
MOST_PATHS = 5_000
"""Of one call: more would take seconds."""
TOO_MUCH = (
    "This call is more than evo can look through, so that it cannot tell whether it leads to sealed items. Say it in"
    " smaller commands, without braces in braces; write long files with the tool for files."
)
SHELL_TOOLS = frozenset({"Bash", "shell", "local_shell", "exec_command", "unified_exec"})
INSTEAD = {
    SEALED: "It is sealed: held-out and vault items answer one bit at a time, to `evo certify`. What the model gets"
    " wrong is in `evo failures EXP` (dev items); what is sealed, in `evo data status`.",
    GOLD: "It is the file that the sealed items came from. Dev items are in data/dev.jsonl and `evo failures EXP`.",
    DATABASE: "evo's database is evo's own. Read by `evo status`, `evo tree`, `evo show EXP --json`; copy it by"
    " `evo backup FILE`.",
    HIDDEN: "`.evo` holds the sealed items and the database, so it is not handled as a whole. Weights go by"
    " `evo gc --delete`, a copy of the tree is `evo backup FILE`.",
    scans.SCAN: "This walks through `.evo`: sealed items, worktrees, weights. Name the folder that you mean, or leave"
    " it out (`--exclude-dir=.evo`, `-path ./.evo -prune`), or use `git grep` and `git ls-files`.",
    scans.HUGE: "That file is huge. `evo log EXP --tail 50` shows the end of a log; else `tail -n 50` or `grep`.",
}


def hook_reply(event: str) -> Reply:
    """The answer to `event`, a name as `pre-tool-use`; the payload is read from stdin."""
    answers: dict[str, Callable[[dict[str, Any], Place], dict[str, object]]] = {
        "pre-tool-use": pre_tool_use,
        "session-start": session_start,
        "user-prompt-submit": user_prompt_submit,
        "stop": stop,
    }
    output: dict[str, object] = {}
    try:
        if event not in answers:
            raise EvoError(f"no hook named {event!r}; known: {', '.join(answers)}")
        payload = read_payload()
        output = answers[event](payload, place_of(payload))
    except NotAWorkspace:
        pass
    except (Undecided, RecursionError):  # of the payload itself
        place = paths.place_at(Path(os.getcwd()))
        output = _denied(TOO_MUCH) if event == "pre-tool-use" and place.layout is not None else {}
    except (EvoError, OSError, ValueError, sqlite3.Error) as error:
        sys.stderr.write(f"evo hook {event}: {error}; nothing is stopped\n")
    return Reply(HookView(event, output))


def read_payload() -> dict[str, Any]:
    text = "" if sys.stdin.isatty() else sys.stdin.read(MOST_STDIN + 1)
    if len(text) > MOST_STDIN:
        raise Undecided
    payload = json.loads(text)
    if not isinstance(payload, dict):
        raise ValueError("the payload is no JSON object")
    return payload


def place_of(payload: dict[str, Any]) -> Place:
    cwd = payload.get("cwd")
    return paths.place_at(Path(cwd if isinstance(cwd, str) and cwd else os.getcwd()))


def pre_tool_use(payload: dict[str, Any], place: Place) -> dict[str, object]:
    """Deny what leads to something protected; beside a call of evo, say what the person has said."""
    tool, told = str(payload.get("tool_name", "")), payload.get("tool_input")
    given = told if isinstance(told, dict) else {}
    try:
        found = _shell(given, place) if tool in SHELL_TOOLS else _file(tool, given, place)
    except Undecided:
        return _denied(TOO_MUCH) if place.layout is not None else {}
    if found is not None:
        kind, word = found
        return _denied(f"{word}: {INSTEAD[kind]}")
    if tool in SHELL_TOOLS and import_module("evo.agent.shell").runs_evo(command_of(given)):
        directions = _directions(place)
        if directions:
            return _said("PreToolUse", additionalContext=directions)
    return {}


def command_of(given: dict[str, Any]) -> str:
    command = given.get("command") or given.get("cmd") or ""
    if isinstance(command, list):
        return " ".join(map(str, command))
    return str(command)


def _shell(given: dict[str, Any], place: Place) -> tuple[str, str] | None:
    folder = given.get("workdir")
    place = place.moved(folder) if isinstance(folder, str) and folder else place
    environment = dict(os.environ) | {"PWD": str(place.cwd)}
    touch = import_module("evo.agent.shell").touched(command_of(given), place, environment=environment)
    return (touch.kind, touch.word) if touch else None


def _file(tool: str, given: dict[str, Any], place: Place) -> tuple[str, str] | None:
    """The paths that a tool names; of a search, what its patterns may match."""
    judge = paths.kind_of_pattern if tool in ("Grep", "Glob") else paths.kind_of
    for n, name in enumerate(_names(tool, given)):
        if n >= MOST_PATHS:
            raise Undecided
        try:
            kind = judge(name, place)
        except (OSError, ValueError):  # a name too long, or none at all
            continue
        if kind == HIDDEN and tool == "Grep":
            kind = scans.SCAN
        if kind not in (None, HIDDEN):
            return str(kind), name
    return None


def _names(tool: str, given: dict[str, Any]) -> Iterator[str]:
    folder = str(given.get("path") or ".")
    for key, value in given.items():
        if isinstance(value, str) and value and (key in ("path", "uri") or key.endswith(("_path", "file"))):
            yield value.removeprefix("file://")
    pattern = given.get("pattern" if tool == "Glob" else "glob")
    if tool in ("Grep", "Glob") and isinstance(pattern, str):
        yield from (os.path.join(folder, pattern), os.path.join(folder, "**", pattern))
    if tool == "apply_patch":
        for line in str(given.get("input") or given.get("command") or "").splitlines():
            if line.startswith(("*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: ")):
                yield line.partition(": ")[2].strip()


def session_start(payload: dict[str, Any], place: Place) -> dict[str, object]:
    """The brief, as `evo brief` prints it: at the start, and again after every compaction."""
    with _opened(place) as session:
        view = import_module("evo.report.brief").brief_view(session)
    blocks = import_module("evo.cli.output").draw(view)
    text = import_module("evo.cli.blocks").plain_text(blocks)
    opening = "Memory was cut; this is where the work stands. " if payload.get("source") == "compact" else ""
    return _said("SessionStart", additionalContext=f"{opening}`evo brief` of {place.cwd}:\n\n{text}")


def user_prompt_submit(_: dict[str, Any], place: Place) -> dict[str, object]:
    directions = _directions(place)
    return _said("UserPromptSubmit", additionalContext=directions) if directions else {}


def stop(payload: dict[str, Any], place: Place) -> dict[str, object]:
    """Another round while the loop is armed. One that a hook has asked for goes on only if it has started something."""
    arming = import_module("evo.ops.arming")
    if place.layout is None or not arming.armed_file(place.layout).exists():
        return {}
    with _opened(place) as session:
        asked = arming.ask_round(session, is_continuing=bool(payload.get("stop_hook_active")))
    if not asked.armed:
        return {}
    reason = (
        "The loop is armed: one more round. `evo brief`, then `evo next`; branch, run, and note what you learnt. "
        f"{asked.rounds_left} rounds are left after this one; `evo plugin disarm` ends it. {_directions(place)}"
    )
    return {"decision": "block", "reason": reason.strip()}


def _directions(place: Place) -> str:
    """What the person has said and nobody has acknowledged; empty outside a workspace."""
    if place.layout is None or not place.layout.db.exists():
        return ""
    with import_module("evo.store.db").opened(place.layout.db, readonly=True) as db:
        open_ones = import_module("evo.store.directions").open_ones(db, limit=6)
    said = [f"{one.id}. {one.text[:400]}  (evo ack {one.id})" for one in open_ones]
    return "The person says, until it is acknowledged:\n" + "\n".join(said) if said else ""


def _opened(place: Place) -> Any:
    if place.layout is None:
        raise NotAWorkspace(f"{place.cwd} is in no workspace")
    return import_module("evo.session").open_session(place.layout.root, readonly=True)


def _denied(reason: str) -> dict[str, object]:
    return _said("PreToolUse", permissionDecision="deny", permissionDecisionReason=reason)


def _said(event: str, **more: str) -> dict[str, object]:
    return {"hookSpecificOutput": {"hookEventName": event, **more}}
