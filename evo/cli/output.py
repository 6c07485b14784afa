"""From a reply to the terminal or to one JSON document.

Invariant: a view is drawn by exactly one function of `evo.cli.render`, found by the view's class; the same view is
the `data` of the envelope.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from evo.cli.blocks import Block, Text, print_blocks, printable_lines
from evo.domain.views import Reply, as_data
from evo.errors import EvoError

SCHEMA = "evo/1"

RENDERERS = {
    "StatusView": "evo.cli.render.trees:status",
    "TreeView": "evo.cli.render.trees:tree",
    "PathView": "evo.cli.render.trees:path",
    "FrontierView": "evo.cli.render.trees:frontier",
    "NextView": "evo.cli.render.trees:next_steps",
    "DiscardsView": "evo.cli.render.trees:discards",
    "ExperimentView": "evo.cli.render.experiment:show",
    "CompareView": "evo.cli.render.experiment:compare",
    "SmokeView": "evo.cli.render.runs:smoke",
    "WatchView": "evo.cli.render.runs:watch",
    "DiffView": "evo.cli.render.texts:diff",
    "LogView": "evo.cli.render.texts:log",
    "EventLogView": "evo.cli.render.texts:events",
    "FailuresView": "evo.cli.render.texts:failures",
    "NotesView": "evo.cli.render.texts:notes",
    "ScriptView": "evo.cli.render.texts:script",
    "InitView": "evo.cli.render.upkeep:init",
    "SettingsView": "evo.cli.render.upkeep:settings",
    "RecipesView": "evo.cli.render.upkeep:recipes",
    "RecipeDetailView": "evo.cli.render.upkeep:recipe",
    "RecipeCheckView": "evo.cli.render.upkeep:recipe_check",
    "DataStatusView": "evo.cli.render.upkeep:data_status",
    "DatasetView": "evo.cli.render.upkeep:dataset",
    "RetractView": "evo.cli.render.upkeep:retracted",
    "LeaksView": "evo.cli.render.upkeep:leaks",
    "ScratchView": "evo.cli.render.upkeep:scratch",
    "FindingsView": "evo.cli.render.upkeep:findings",
    "GarbageView": "evo.cli.render.upkeep:garbage",
    "LoopView": "evo.cli.render.loop:loop",
    "DemoView": "evo.cli.render.demo:demo",
    "DoctorView": "evo.cli.render.upkeep:doctor",
    "SweptView": "evo.cli.render.upkeep:swept",
    "NewView": "evo.cli.render.upkeep:new",
    "NewGridView": "evo.cli.render.upkeep:grid",
    "CertifyView": "evo.cli.render.upkeep:certify",
    "ReleaseView": "evo.cli.render.upkeep:release",
    "PowerView": "evo.cli.render.gate:power",
    "CalibrateView": "evo.cli.render.gate:calibrate",
    "VerifyView": "evo.cli.render.gate:verify",
    "MirrorStatusView": "evo.cli.render.track:status",
    "SyncView": "evo.cli.render.track:sync",
    "ExportView": "evo.cli.render.publish:export",
    "PushView": "evo.cli.render.publish:push",
    "CardView": "evo.cli.render.publish:card",
    "DiagnoseView": "evo.cli.render.diagnose:diagnosis",
    "FormatView": "evo.cli.render.diagnose:format",
    "BriefView": "evo.cli.render.agent:brief",
    "BudgetView": "evo.cli.render.agent:budget",
    "DirectionsView": "evo.cli.render.agent:directions",
    "MethodLogView": "evo.cli.render.agent:method_log",
    "PlanView": "evo.cli.render.agent:plan",
    "EntryView": "evo.cli.render.agent:entry",
    "IdeasView": "evo.cli.render.ideas:ideas",
    "IdeaDetailView": "evo.cli.render.ideas:idea",
    "IdeaCheckView": "evo.cli.render.ideas:check",
    "RecommendView": "evo.cli.render.ideas:recommend",
    "LessonsView": "evo.cli.render.ideas:lessons",
    "CalibrationView": "evo.cli.render.ideas:calibration",
    "DryRunView": "evo.cli.render.agent:dry_run",
    "SchemaView": "evo.cli.render.agent:schema",
    "SchemasView": "evo.cli.render.agent:schemas",
    "PluginView": "evo.cli.render.plugin:plugin",
    "ArmedView": "evo.cli.render.plugin:armed",
    "HookView": "evo.cli.render.plugin:hook",
    "MessageView": "evo.cli.render.common:message",
    "KeyValueView": "evo.cli.render.common:key_value",
}
SHOWS_STEPS = {"NextView", "BriefView"}
"""Views that are the next steps themselves."""


def say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")


def warn(text: str) -> None:
    sys.stderr.write(printable_lines(text.rstrip("\n")) + "\n")


def json_text(document: Any) -> str:
    """One line of JSON in which nothing steers a terminal; a reader of JSON sees no difference."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def budget_left() -> dict[str, dict[str, float]] | None:
    """What the workspace may still spend; None where nothing is capped, or no workspace was opened."""
    session = sys.modules.get("evo.session")  # whoever opened a workspace has loaded it
    found: dict[str, dict[str, float]] | None = None if session is None else session.budget_left()
    return found


def _say_budget() -> None:
    left = budget_left()
    if left is not None:
        parts = (f"{entry['left']:g} of {entry['cap']:g} {name.replace('_', ' ')}" for name, entry in left.items())
        warn(f"budget left: {', '.join(parts)}")


def _print_json(document: dict[str, Any]) -> None:
    say(json_text(document))


def _error(error: EvoError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def document(reply: Reply) -> dict[str, Any]:
    """The envelope of a reply."""
    found: dict[str, Any] = {"schema": SCHEMA, "ok": reply.failure is None, "data": as_data(reply.view)}
    if reply.failure is not None:
        found["error"] = _error(reply.failure)
    return _ended(found, next=as_data(reply.next), warnings=reply.warnings)


def error_document(error: EvoError) -> dict[str, Any]:
    return _ended({"schema": SCHEMA, "ok": False, "error": _error(error)})


def bug_document(error: BaseException) -> dict[str, Any]:
    message = f"{type(error).__name__}: {error}"
    hint = "this is a bug in evo; the traceback is on standard error"
    return _ended({"schema": SCHEMA, "ok": False, "error": {"code": "bug", "message": message, "hint": hint}})


def _ended(found: dict[str, Any], *, next: Sequence[Any] = (), warnings: Sequence[str] = ()) -> dict[str, Any]:
    left = budget_left()
    return {**found, "next": list(next), "warnings": list(warnings), **({} if left is None else {"budget": left})}


def emit(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        _print_json(document(reply))
        return
    print_blocks(draw(reply.view), sys.stdout)
    for warning in reply.warnings:
        warn(f"warning: {warning}")
    if reply.failure is not None:
        _warn_error(reply.failure)
    _say_budget()
    if sys.stdout.isatty() and reply.next and type(reply.view).__name__ not in SHOWS_STEPS:
        print_blocks(
            [Text("")] + [Text(f"next  {hint.cmd}", style="dim", note=hint.why) for hint in reply.next], sys.stdout
        )


def draw(view: Any) -> list[Block]:
    """The blocks that show `view` on a terminal."""
    module, _, function = RENDERERS[type(view).__name__].partition(":")
    blocks: list[Block] = getattr(import_module(module), function)(view)
    return blocks


def _warn_error(error: EvoError) -> None:
    warn(f"evo: {error.message}")
    if error.hint:
        warn(f"     {error.hint}")


def emit_error(error: EvoError, *, as_json: bool) -> None:
    if as_json:
        _print_json(error_document(error))
    else:
        _warn_error(error)
        _say_budget()


def emit_bug(error: BaseException, *, as_json: bool) -> None:
    if as_json:
        _print_json(bug_document(error))
