"""`evo direct` and `evo ack`: the person says something to whoever drives the tree, and hears that it was read.

Invariant: a direction is shown by every `brief` and `next` until somebody acknowledges it.
"""

from __future__ import annotations

import getpass
import os

from evo.domain.agent_views import DirectionsView, DirectionView
from evo.domain.views import Hint, Reply
from evo.errors import UsageError
from evo.session import Session, open_session
from evo.store import directions

LONGEST = 4000


def say(session: Session, text: str, *, key: str | None = None) -> Reply:
    """Give a direction. UsageError for an empty or an overlong one."""
    words = text.strip()
    if not words:
        raise UsageError("a direction is empty", hint='evo direct "train on the short examples first"')
    if len(words) > LONGEST:
        raise UsageError(f"the direction has {len(words)} characters; {LONGEST} are allowed", hint="name a file in it")
    said, is_new = directions.add(session.db, words, author=author(), key=key)
    told = f"direction {said.id} " + ("is shown until it is acknowledged" if is_new else "was given before")
    return Reply(DirectionsView([view_of(said)], told), (Hint(f"evo ack {said.id}", "whoever has read it"),))


def open_reply(*, limit: int) -> Reply:
    """Directions that wait to be acknowledged, oldest first."""
    with open_session(readonly=True) as session:
        found = directions.open_ones(session.db, limit=limit + 1)
    shown = [view_of(one) for one in found[:limit]]
    told = "" if shown else "no direction waits"
    next_ = (Hint(f"evo ack {shown[0].id}", "when it is read"),) if shown else (Hint("evo next", "what to do"),)
    return Reply(DirectionsView(shown, told, truncated=len(found) > limit), next_)


def acknowledge(session: Session, number: int | None, *, answer: str) -> Reply:
    """Acknowledge one direction, or all that are open: what was acknowledged is shown whole."""
    found = directions.ack(session.db, number, answer=answer.strip())
    told = f"acknowledged: {len(found)}" if found else "no direction waits"
    return Reply(DirectionsView([view_of(one) for one in found], told), (Hint("evo next", "go on"),))


def view_of(one: directions.Direction) -> DirectionView:
    return DirectionView(one.id, one.text, one.created_at, one.author, one.acked_at, one.answer)


def author() -> str:
    try:
        return os.environ.get("EVO_AUTHOR") or getpass.getuser()
    except (KeyError, OSError):
        return ""
