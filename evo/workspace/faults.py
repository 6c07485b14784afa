"""What no type can say about a value of evo.yaml: names of members, durations, patterns, a range that rises.

Invariant: a configuration without faults can be used as it is; no member of a family is imported to find that out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from evo.clock import parse_duration
from evo.config import EvoConfig, GuardConfig, get_key
from evo.errors import UsageError
from evo.registry import problem

_GUARD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


def fault_of(key: str, value: Any) -> str:
    """What is wrong with the value of a dotted key; empty when it is good."""
    return _CHECKS[key](value) if key in _CHECKS else ""


def faults(config: EvoConfig) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) for each value that `fault_of` finds fault with, and for those that do not fit
    together."""
    found = ((key, fault_of(key, get_key(config, key))) for key in _CHECKS)
    yield from ((key, fault) for key, fault in found if fault)
    if fault := _target(config.loop.target, config.metric.range):
        yield "loop.target", fault


def _patterns(patterns: list[str]) -> str:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            return f"{pattern!r} is no regular expression: {error}"
    return ""


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except UsageError as error:
        return f"{error.message.removeprefix('duration: ')}; {error.hint}"
    return ""


def _source(name: str) -> str:
    return "" if name == "kb" else problem("source", name)


def _range(span: list[float] | str) -> str:
    if span == "none" or (len(span) == 2 and float(span[0]) < float(span[1])):
        return ""
    return f"{span} is no range: write [lowest, highest], or none"


def _target(target: float | None, span: list[float] | str) -> str:
    if target is None or isinstance(span, str) or span[0] <= target <= span[1]:
        return ""
    return f"{target:g} lies outside of metric.range {span}: no score reaches it"


def _checks(commands: list[str]) -> str:
    for command in commands:
        try:
            words = shlex.split(command)
        except ValueError as error:
            return f"{command!r} cannot be split: {error}"
        if not words:
            return "an empty command checks nothing"
    return ""


def _guards(guards: list[GuardConfig]) -> str:
    names = [guard.name for guard in guards]
    for guard in guards:
        fault = "stands twice" if names.count(guard.name) > 1 else _guard(guard)
        if fault:
            return f"guard {guard.name!r}: {fault}"
    return ""


def _guard(guard: GuardConfig) -> str:
    wrong = {
        "a name has lower-case letters, digits and dashes": not _GUARD_NAME.fullmatch(guard.name),
        "has neither items nor a command": not guard.items and not guard.command,
        "has a scorer and a command; one of them grades": bool(guard.scorer and guard.command),
        "a scorer needs items": bool(guard.scorer and not guard.items),
    }
    by_itself = next((words for words, holds in wrong.items() if holds), "")
    unknown = problem("scorer", guard.scorer) if guard.scorer else ""
    return by_itself or unknown or _checks([guard.command or "true"])


_CHECKS: dict[str, Callable[[Any], str]] = {
    "budget.wall-clock": _duration,
    "eval.scorer": partial(problem, "scorer"),
    "eval.timeout": _duration,
    "eval.forbidden": _patterns,
    "gate.checks": _checks,
    "gate.checks-timeout": _duration,
    "guards": _guards,
    "ideas.source": _source,
    "ideas.timeout": _duration,
    "metric.range": _range,
    "run.executor": partial(problem, "executor"),
    "run.timeout": _duration,
    "search.policy": partial(problem, "policy"),
}
