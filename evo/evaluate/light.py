"""Which evaluations take nothing but the standard library: a supervisor imports their evaluator and calls it."""

from __future__ import annotations


def light_module(backend: str) -> str:
    """The module whose `main` evaluates; empty where installed packages have a part in it (finding them takes 6 ms)."""
    return "evo.evaluate.by_command" if backend == "command" else ""
