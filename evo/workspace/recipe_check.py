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


def _faults_of_pages(folder: Path) -> Iterator[Fault]:
    for path in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            yield Fault(str(path), error.lineno, f"is not Python: {error.msg}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "device_map" and _is_auto(node.value):
                problem = 'device_map="auto" spreads the model over devices that the trainer does not know of'
                yield Fault(str(path), node.value.lineno, problem)


def _is_auto(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "auto"
