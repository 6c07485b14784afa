"""What is wrong with a recipe, found without running it.

Invariant: nothing is imported or executed of the recipe; every fault names its file, and its line where it has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from evo.errors import FileFormatError, NotFound
from evo.lightdata import dataclass
from evo.workspace.recipes import CONFIG, PAGE, read_config, validated

_ELSEWHERE = ("hf://", "artifact:")
_SPREADING = ("auto", "balanced", "balanced_low_0", "sequential")
_QUANTISES = "trains on weights that the evaluation never sees; the parameter method=qlora is the way to four bits"
_OFFLOADS = "moves weights off the device that the trainer computes on"
_WHY = {
    "device_map": "spreads the model over devices that the trainer does not know of",
    "offload_folder": _OFFLOADS,
    "offload_state_dict": _OFFLOADS,
    "offload_buffers": _OFFLOADS,
    "max_memory": _OFFLOADS,
    "load_in_8bit": _QUANTISES,
    "load_in_4bit": _QUANTISES,
    "use_cache": "keeps a cache of keys and values that training has no use for",
}


@dataclass(frozen=True)
class Fault:
    path: str
    line: int | None
    problem: str

    def __str__(self) -> str:
        return f"{self.path}" + (f", line {self.line}" if self.line else "") + f": {self.problem}"


def check(folder: Path, *, workspace: Path | None = None) -> list[Fault]:
    """Everything that is wrong with a recipe, as far as it can be seen without running it.

    `workspace`: where the local files that it trains on have to lie; None where there is none.
    """
    return [*_faults_of_config(folder, workspace), *_faults_of_pages(folder)]


def _faults_of_config(folder: Path, workspace: Path | None) -> Iterator[Fault]:
    path = folder / CONFIG
    try:
        config = validated(path, read_config(path))
    except FileFormatError as error:
        field = f"field {error.field}: " if error.field else ""
        hint = f" ({error.hint})" if error.hint else ""
        yield Fault(error.path, error.line, field + error.message.partition(": ")[2] + hint)
        return
    except NotFound as error:
        yield Fault(str(path), None, error.message)
        return
    if not (folder / PAGE).is_file() and "argv" not in config.params:
        yield Fault(str(folder / PAGE), None, "is missing, and no parameter argv stands in for it")
    aliases = [spec.alias for spec in config.params.values() if spec.alias]
    for alias in sorted({alias for alias in aliases if aliases.count(alias) > 1 or alias in config.params}):
        yield Fault(str(path), None, f"the alias {alias!r} means two parameters")
    for index, part in enumerate(config.data.train if workspace else ()):
        if workspace and not part.source.startswith(_ELSEWHERE) and not (workspace / part.source).exists():
            yield Fault(str(path), None, f"field data.train[{index}].source: {workspace / part.source} does not exist")


def misplacements(folder: Path) -> list[Fault]:
    """Where a page has its model spread, offloaded, quantised or cached in a way that a trainer cannot train on.

    A page that is not Python has none: the run itself will say so.
    """
    return [fault for path, tree in _pages(folder) if isinstance(tree, ast.AST) for fault in _misplacements(path, tree)]


def _faults_of_pages(folder: Path) -> Iterator[Fault]:
    for path, tree in _pages(folder):
        if isinstance(tree, SyntaxError):
            yield Fault(str(path), tree.lineno, f"is not Python: {tree.msg}")
        else:
            yield from _misplacements(path, tree)


def _pages(folder: Path) -> Iterator[tuple[Path, ast.AST | SyntaxError]]:
    for path in sorted(folder.glob("*.py")):
        try:
            yield path, ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            yield path, error


def _misplacements(path: Path, tree: ast.AST) -> Iterator[Fault]:
    for node in ast.walk(tree):
        for name, value in _settings(node):
            if name in _WHY and _is_set(name, value):
                yield Fault(str(path), value.lineno, f"{name}={ast.unparse(value)} {_WHY[name]}")


def _settings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """`name=value` in a call, `{"name": value}`, and `model.config.name = value`; generating may use a cache."""
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).rpartition(".")[2]
        passed = [(word.arg, word.value) for word in node.keywords if word.arg]
        yield from (pair for pair in passed if pair[0] != "use_cache" or called in ("from_pretrained", "from_config"))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value != "use_cache":
                yield key.value, value
    elif isinstance(node, ast.Assign):
        yield from ((target.attr, node.value) for target in node.targets if isinstance(target, ast.Attribute))


def _is_set(name: str, value: ast.expr) -> bool:
    """Whether a setting asks for what it is named after; a value that is not written out is left alone."""
    if name == "device_map":
        return isinstance(value, ast.Constant) and value.value in _SPREADING
    if name in ("offload_folder", "max_memory"):
        return not (isinstance(value, ast.Constant) and value.value is None)
    return isinstance(value, ast.Constant) and value.value is True
