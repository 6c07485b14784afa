"""The armed loop: how often the stop hook of a coding agent may still ask it for another round.

The file `.evo/loop/armed.json` is `{"rounds_left": 8, "until": "2026-01-31T08:00:00Z" | null, "seen": 12}`; `seen` is
how many attempts the workspace had when a round was last asked for, null before the first.
Invariant: every round that is asked for is taken off first, and none is asked for beyond the rounds, the time or a
spent budget; so an agent cannot be held for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evo.clock import parse_duration
from evo.domain.plugin_views import ArmedView
from evo.errors import EvoError, FileFormatError, UsageError
from evo.files import read_json, write_json
from evo.session import Session
from evo.store import attempts, ledger
from evo.workspace.layout import Layout

MOST_ROUNDS = 1000


def armed_file(layout: Layout) -> Path:
    return layout.hidden / "loop" / "armed.json"


def arm(layout: Layout, *, rounds: int, span: str = "", now: datetime | None = None) -> ArmedView:
    """Let the stop hook ask for `rounds` more rounds, and for none after `span` (`8h`)."""
    if not 1 <= rounds <= MOST_ROUNDS:
        raise UsageError(f"--rounds is a number from 1 to {MOST_ROUNDS}", hint="evo plugin arm --rounds 8")
    seconds = parse_duration(span, name="--for")
    end = (now or datetime.now(UTC)) + timedelta(seconds=seconds) if seconds else None
    until = end.strftime("%Y-%m-%dT%H:%M:%SZ") if end else None
    write_json(armed_file(layout), {"rounds_left": rounds, "until": until, "seen": None})
    return ArmedView(True, rounds, until, "the stop hook asks for another round while budget and rounds are left")


def disarm(layout: Layout) -> ArmedView:
    armed_file(layout).unlink(missing_ok=True)
    return ArmedView(False, why="the agent stops when it stops")


def ask_round(session: Session, *, is_continuing: bool, now: datetime | None = None) -> ArmedView:
    """Take one round off and say so, or say why not. `is_continuing`: the agent goes on only since a hook asked
    before; then a round that has started nothing is its last."""
    data = _read(session.layout)
    if data is None:
        return ArmedView(False, why="not armed")
    left, until = data["rounds_left"], data["until"]
    count = attempts.count(session.db)
    why = ""
    if left < 1:
        why = "no round is left"
    elif until is not None and (now or datetime.now(UTC)) >= datetime.fromisoformat(until):
        why = f"armed until {until}"
    elif spent := _spent(session):
        why = f"the budget of {spent} is spent"
    elif is_continuing and (data["seen"] is None or count <= data["seen"]):
        why = "the last round started nothing"
    if why:
        return ArmedView(False, left, until, why)
    write_json(armed_file(session.layout), {"rounds_left": left - 1, "until": until, "seen": count})
    return ArmedView(True, left - 1, until)


def _spent(session: Session) -> str:
    """The name of a cap that is used up."""
    if session.caps is None:
        return ""
    caps = ledger.balance(session.db).by_name(session.caps)
    return next((name.replace("_", " ") for name, cap in caps.items() if cap["left"] <= 0), "")


def _read(layout: Layout) -> dict[str, Any] | None:
    path = armed_file(layout)
    if not path.exists():
        return None
    try:
        data = read_json(path)
        rounds, until = data["rounds_left"], data.get("until")
        if type(rounds) is not int or (until is not None and datetime.fromisoformat(until).tzinfo is None):
            raise ValueError
    except (EvoError, TypeError, KeyError, ValueError, AttributeError):
        raise FileFormatError(path, "does not say how many rounds are left", hint="evo plugin arm --rounds 8") from None
    return {"rounds_left": rounds, "until": until, "seen": data.get("seen")}
