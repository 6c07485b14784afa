"""Scorer `custom`: a workspace's own `scorer.py`, with `score(expected, actual) -> float`.

The file is read from the pinned copies, never from an experiment's worktree. It may hold one public function of another
name instead. A fault in it is named by file and line; it never becomes a score.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from evo.domain.item import Item
from evo.errors import FileFormatError, NotFound, UsageError
from evo.evaluate.scorers.base import CannotScore

FILE = "scorer.py"
_SHAPE = "def score(expected: str, actual: str) -> float"


class Custom:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del options
        if pinned_dir is None:
            raise UsageError(f"the scorer custom needs the folder that holds {FILE}")
        self._path = pinned_dir / FILE
        self._function = _only_function(_loaded(self._path), self._path)

    def score(self, item: Item, output: str) -> float:
        """Whatever the function returns: the grader refuses what is no finite number within the range."""
        try:
            value: float = self._function(item.target or "", output)
        except (Exception, SystemExit) as error:
            line = _line_in(self._path, error)
            raise CannotScore(f"{FILE}, line {line} raised {type(error).__name__}: {error}") from error
        return value


def _loaded(path: Path) -> ModuleType:
    """The module in `path`. NotFound, or FileFormatError with the line."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist", hint=f"write it: {_SHAPE}")
    module = ModuleType("evo_custom_scorer")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # the text itself, and no bytecode beside it
    except SyntaxError as error:
        raise FileFormatError(path, f"{error.msg}", line=error.lineno, hint=f"wanted: {_SHAPE}") from None
    except (Exception, SystemExit) as error:
        problem = f"raised {type(error).__name__} on import: {error}"
        raise FileFormatError(path, problem, line=_line_in(path, error)) from error
    return module


def _only_function(module: ModuleType, path: Path) -> Callable[[str, str], float]:
    """`score`, or the one public function that the file defines."""
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    name = "score" if "score" in own else next(iter(own), "") if len(own) == 1 else ""
    if not name:
        found = f"several functions ({', '.join(own)}), none named score" if own else "no function"
        raise FileFormatError(path, f"defines {found}", field="score", hint=f"write {_SHAPE}")
    function = own[name]
    try:
        inspect.signature(function).bind("expected", "actual")
    except TypeError as error:
        line = function.__code__.co_firstlineno
        raise FileFormatError(
            path, f"takes other arguments: {error}", line=line, field=name, hint=f"wanted: {_SHAPE}"
        ) from None
    return function


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of `path` on the way to `error`."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None
