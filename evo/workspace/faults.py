"""What no type can say about a value of evo.yaml: names of members, durations, patterns, a range that rises.

Invariant: a configuration without faults can be used as it is; no member of a family is imported to find that out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from evo.clock import parse_duration
from evo.config import EvoConfig, get_key
from evo.errors import UsageError
from evo.registry import problem


def fault_of(key: str, value: Any) -> str:
    """What is wrong with the value of a dotted key; empty when it is good."""
    return _CHECKS[key](value) if key in _CHECKS else ""


def faults(config: EvoConfig) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) for each value that `fault_of` finds fault with."""
    found = ((key, fault_of(key, get_key(config, key))) for key in _CHECKS)
    return ((key, fault) for key, fault in found if fault)


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


def _range(span: list[float] | str) -> str:
    if span == "none" or (len(span) == 2 and float(span[0]) < float(span[1])):
        return ""
    return f"{span} is no range: write [lowest, highest], or none"


_CHECKS: dict[str, Callable[[Any], str]] = {
    "budget.wall-clock": _duration,
    "eval.scorer": partial(problem, "scorer"),
    "eval.timeout": _duration,
    "eval.forbidden": _patterns,
    "metric.range": _range,
    "run.executor": partial(problem, "executor"),
    "run.timeout": _duration,
    "search.policy": partial(problem, "policy"),
}
