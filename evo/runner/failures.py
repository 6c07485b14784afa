"""What an ending means: outcome, class of failure, and a message that a person can act on.

Invariant: only what the supervisor saw decides the outcome; the log's text only refines the class of a failure.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from evo.runner import records
from evo.runner.stage import Ending

_TAIL_LINES = 20
_TAIL_BYTES = 2000
_SEARCHED_BYTES = 65536
INVALID_RESULTS = 3
"""Exit code by which the evaluator says that the results are wrong, not that it could not work."""
_PREFIX = "evo: "
_SIGNS = (
    ("out_of_memory", ("out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "std::bad_alloc")),
    ("disk_full", ("no space left on device", "disk quota exceeded")),
    ("missing_module", ("modulenotfounderror", "importerror:")),
    ("cuda_error", ("cuda error", "cublas_status", "nccl error")),
    ("network", ("connectionerror", "max retries exceeded", "name or service not known", "localentrynotfounderror")),
)


class Verdict(NamedTuple):
    outcome: str
    failure: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None


def judge_training(ending: Ending, log: str, *, was_memory_short: bool) -> Verdict:
    """`was_memory_short`: the kernel ended some process for want of memory meanwhile."""
    code, number = _unwrapped(ending)
    if ending.survivors:
        message = f"{ending.survivors} processes of the training could not be ended"
        return Verdict("failed", "survivors", message, code, number)
    if ending.cause == "aborted":
        return Verdict("killed", "aborted", _told("aborted", log), code, number)
    if ending.cause == "timed_out":
        what = f"training stopped after {ending.seconds:.1f} s: its limit"
        return Verdict("timed_out", "timeout", _told(what, log), code, number)
    is_stopped = ending.cause == "stopped"  # then it ended as it was told, however that looks
    if number is not None and not is_stopped:
        failure = "out_of_memory" if number == signal.SIGKILL and was_memory_short else "signal"
        return Verdict("killed", failure, _told(f"training was killed by {_name(number)}", log), code, number)
    if code and not is_stopped:
        return Verdict("failed", _class_of(code, log), _told(f"training ended with exit code {code}", log), code)
    return Verdict("ok", exit_code=code)


def stopped_too_soon(folder: str, log: str) -> Verdict:
    """`evo stop` came before training had anything to hand over."""
    return Verdict("killed", "stopped", _told(f"training was stopped before it had left anything in {folder}", log))


def no_output(folder: str, log: str) -> Verdict:
    return Verdict("failed", "no_output", _told(f"training ended well but left nothing in {folder}", log), 0)


def judge_evaluation(ending: Ending, log: str) -> Verdict:
    """`trained`: the evaluation is still owed. Invalid results are the experiment's failure, all else is trouble."""
    code, number = _unwrapped(ending)
    if ending.cause == "aborted":
        return Verdict("killed", "aborted", _told("aborted", log), code, number)
    if ending.cause == "timed_out":
        what = f"evaluation stopped after {ending.seconds:.1f} s: its limit"
    elif number is not None:
        what = f"evaluation was killed by {_name(number)}"
    elif code == INVALID_RESULTS:
        return Verdict("failed", "bad_result", _last_word(log) or _told("the results are not valid", log), code)
    elif code:
        what = f"evaluation ended with exit code {code}"
    else:
        return Verdict("ok", exit_code=code)
    return Verdict("trained", "eval_failed", _told(what, log), code, number)


def _unwrapped(ending: Ending) -> tuple[int | None, int | None]:
    """(exit code, signal): a shell or sandbox around the program reports its death by signal n as exit code 128 + n."""
    code = ending.exit_code
    if code is not None and code - 128 in signal.valid_signals() and code - 128 < signal.SIGRTMIN:
        return None, code - 128
    return code, ending.signal


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _told(what: str, log: str) -> str:
    tail = "\n".join(records.tail_lines(log, lines=_TAIL_LINES, limit=_TAIL_BYTES))
    return f"{what}\n{tail}" if tail else what


def _class_of(code: int, log: str) -> str:
    if code in (126, 127):
        return "not_startable"
    text = "\n".join(records.tail_lines(log, lines=_TAIL_LINES, limit=2 * _TAIL_BYTES)).lower()
    return next((name for name, signs in _SIGNS if any(sign in text for sign in signs)), "nonzero_exit")


def _last_word(log: str) -> str:
    """The last line by which the evaluator itself explains what is wrong."""
    lines = records.tail_lines(log, lines=10_000, limit=_SEARCHED_BYTES)
    words = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    return words[-1][:_TAIL_BYTES] if words else ""
