"""Every error that evo raises on purpose, and the exit code that each one means.

    EvoError                     4  refused
    ├── UsageError               2  the words of the command are wrong        (also ValueError)
    │   └── FileFormatError      2  a file's text is wrong: file, line, field
    ├── NotFound                 3  no such experiment, recipe, file, key     (also LookupError)
    ├── Refused                  4  the state or the cap forbids it
    │   ├── NotAWorkspace        3
    │   ├── KeyTaken             4  the key stands for something else already
    │   ├── SmokeFailed          4  the trial run before a full one found a fault
    │   ├── MissingExtra         4  a library is not installed: the pip line  (also ImportError)
    │   └── StoreError           4  the database is missing, damaged or newer
    ├── Denied                   5  the answer is no: contaminated, or not certified
    ├── RunFailed                6  training or evaluation failed
    │   └── RunTimedOut          7
    ├── BudgetSpent              8
    └── Busy                     9  try again                                 (also TimeoutError)

A message says what happened and where; `hint` says what to do next. Anything else that escapes is a bug,
shown with its traceback and exit code 1.
"""

from __future__ import annotations

from collections.abc import Iterable


class EvoError(Exception):
    """An error that a user can act on."""

    code = "refused"
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # a training page's traceback has no other way to show it


class UsageError(EvoError, ValueError):
    code = "usage"
    exit_code = 2


class FileFormatError(UsageError):
    """Text in a file is not what it must be. `line` counts from 1; `field` is dotted."""

    code = "bad_file"

    def __init__(self, path: object, problem: str, *, line: int | None = None, field: str = "", hint: str = "") -> None:
        where = f"{path}" + (f", line {line}" if line is not None else "") + (f", field {field}" if field else "")
        super().__init__(f"{where}: {problem}", hint=hint)
        self.path = str(path)
        self.line = line
        self.field = field


class NotFound(EvoError, LookupError):
    code = "not_found"
    exit_code = 3


class Refused(EvoError):
    code = "refused"
    exit_code = 4


class NotAWorkspace(Refused):
    code = "no_workspace"
    exit_code = 3


class KeyTaken(Refused):
    """A key that came with other words before."""


class SmokeFailed(Refused):
    """A trial of a few steps found what a full run would have ended with."""

    code = "smoke"


class MissingExtra(Refused, ImportError):
    """A library of an optional extra is needed and absent."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"pip install 'evo-tree[{extra}]'")


class StoreError(Refused):
    code = "store"


class Denied(EvoError):
    code = "no"
    exit_code = 5


class RunFailed(EvoError):
    code = "run_failed"
    exit_code = 6


class RunTimedOut(RunFailed):
    code = "timed_out"
    exit_code = 7


class BudgetSpent(EvoError):
    code = "budget"
    exit_code = 8


class Busy(EvoError, TimeoutError):
    code = "busy"
    exit_code = 9


def nearest(name: str, known: Iterable[str]) -> str:
    """The words that end a "not found" message: the closest known name, or the list of them."""
    import difflib  # most commands need no suggestion

    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names[:20]) if names else "there are none"
