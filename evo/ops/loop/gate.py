"""The held-out question where a loop stands: put again where whoever was to ask it was killed, or failed.

Every `evo run` asks by itself; this is for what it left. Invariant: nothing is asked or written here; each question is
named once in a process, and a look that waits for its answer is handed out again, never a second one.
"""

from __future__ import annotations

from evo.beliefs import form_beliefs
from evo.evidence import standpoint, why_gate_is_off
from evo.ops.judging.turn import is_taken
from evo.session import Session
from evo.store import experiments


class Gate:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._named: set[tuple[str, str]] = set()

    def due(self, about: str | None = None) -> str:
        """The experiment that is to be asked about now; empty where none is. `about`: the one that has a score since,
        None at the end of the loop. Where another process asks about a third one already, it is let."""
        if why_gate_is_off(self._session):
            return ""
        now = standpoint(self._session, form_beliefs(self._session), about=about)
        question = (now.target, now.reference)
        if now.obstacle or not now.verdict.ask or question in self._named:
            return ""
        if experiments.get(self._session.db, now.target).state != "open":
            return ""
        if about not in (None, now.target) and is_taken(self._session, now.target):
            return ""
        self._named.add(question)
        return now.target
