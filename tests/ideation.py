"""Hand-made trees for tests of ideas: a task, shipped recipes, and experiments with the results that they are given."""

from __future__ import annotations

from typing import Any

from evo.domain.experiment import ROOT
from evo.ideas.facts import Facts, Node, Task
from evo.ops.ideas.facts import recipe_facts
from evo.workspace.recipes import load_recipe, shipped

SE = 0.01
_LOADED = {
    folder.name: load_recipe(None, folder).config for folder in sorted(shipped().iterdir()) if folder.name != "command"
}
RECIPES = {name: recipe_facts(name, config) for name, config in _LOADED.items()}
CONFIGS = _LOADED


def task(*shapes: Any, base: float | None = 0.4, rows: int = 2000, **more: Any) -> Task:
    known = {
        "objective": "answer sums", "benchmark": "sums", "scorer": "exact", "dev_items": 300,
        "model_family": "llama", "model_parameters": 1_000_000_000, "low": 0.0, "high": 1.0,
    }  # fmt: skip
    counts = {shape: rows for shape in shapes if shape != "verifiable"}
    return Task(shapes=list(shapes), rows=counts, base_score=base, **(known | more))


def tree(about: Task, *nodes: dict[str, Any], rounds_without_gain: int = 0, findings: list[str] | None = None) -> Facts:
    """`nodes`: keyword arguments of `Node` as `made` completes them, in order of their numbers, from 1."""
    root = Node(ROOT, None, 0, "committed", "base", "none", {}, gain=0.0, score=about.base_score, shrunken=0.0)
    known = {ROOT: root}
    for number, given in enumerate(nodes, start=1):
        made_ = made(f"exp_{number:04d}", given, known, base=about.base_score or 0.0)
        known[made_.id] = made_
    standing = [node for node in known.values() if node.gain is not None and node.state in ("open", "committed")]
    best = max(standing, key=lambda node: node.gain or 0.0).id
    return Facts(about, known, RECIPES, best, ROOT, findings or [], rounds_without_gain)


def made(id: str, given: dict[str, Any], known: dict[str, Node], *, base: float) -> Node:
    recipe = given.get("recipe", "sft")
    parent = known[given.get("parent", ROOT)]
    gain = given.get("gain")
    facts: dict[str, Any] = {
        "state": "open" if gain is not None else "failed",
        "params": {},
        "technique": RECIPES[recipe].technique,
        "score": None if gain is None else base + gain,
        "se": SE,
        "delta": None if gain is None or parent.gain is None else gain - parent.gain,
        "delta_se": SE,
        "shrunken": gain,
        "gpu_seconds": 60.0,
        "further": 43,
    }
    return Node(id=id, parent=parent.id, depth=parent.depth + 1, recipe=recipe, **(facts | _without(given)))


def _without(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in ("recipe", "parent")}


TREES: dict[str, Facts] = {
    "stuck at zero": tree(
        task("verifiable", "demonstrations", base=0.0),
        {"recipe": "sft", "gain": 0.0},
        {"recipe": "sft", "gain": 0.0, "params": {"epochs": 6.0}},
    ),
    "plateau": tree(
        task("verifiable", "demonstrations"),
        {"recipe": "grpo", "gain": 0.06, "params": {"learning_rate": 1e-4}},
        {"recipe": "grpo", "gain": 0.06, "parent": "exp_0001"},
        {"recipe": "grpo", "gain": 0.055, "parent": "exp_0001", "params": {"group_size": 16}},
        {"recipe": "grpo", "gain": 0.058, "parent": "exp_0001", "params": {"temperature": 0.8}},
        rounds_without_gain=3,
    ),
    "out-of-memory cluster": tree(
        task("verifiable", "demonstrations"),
        *(
            {"recipe": "sft", "failure": "out_of_memory", "params": {"batch_size": size}, "delta_se": 0.0,
             "log_tail": f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {size}.00 GiB"}
            for size in (64, 32, 16)
        ),
    ),
    "pairs only": tree(task("pairs")),
    "demonstrations only": tree(task("demonstrations")),
    "saturated reward": tree(
        task("verifiable", "demonstrations"),
        {"recipe": "grpo", "gain": 0.2, "readings": ["reward-saturated"]},
    ),
    "forgetting": tree(
        task("demonstrations"),
        {"recipe": "sft", "gain": 0.05, "readings": ["forgetting"], "params": {"learning_rate": 2e-4}},
    ),
    "regression after RL": tree(
        task("verifiable", "demonstrations"),
        {"recipe": "sft", "gain": 0.08},
        {"recipe": "grpo", "gain": -0.05, "parent": "exp_0001", "params": {"learning_rate": 1e-3}},
    ),
    "base near perfect": tree(task("verifiable", "demonstrations", base=0.98)),
    "noisy overlap": tree(
        task("verifiable", "demonstrations", dev_items=100),
        {"recipe": "sft", "gain": 0.050},
        {"recipe": "sft", "gain": 0.045, "params": {"epochs": 2.0}},
    ),
}  # fmt: skip
