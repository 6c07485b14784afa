"""`evo lessons`: one line of each finished experiment, where it bears on what one is about to do.

Invariant: each line says whose it is; a line that nobody wrote is derived from facts and marked so. Lessons leave the
workspace only for the person's own store, and come back from it with their origin.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

from evo.domain.experiment import ROOT
from evo.domain.idea_views import LessonsView, LessonView
from evo.errors import EvoError, NotFound
from evo.files import sha256_file, sha256_json
from evo.ideas.facts import Facts, Node
from evo.ideas.insight import insight_of
from evo.ideas.knowledge import or_query
from evo.ideas.recommend import recommend
from evo.ops.ideas.facts import facts_of, model_facts, shapes_of, training_rows
from evo.session import Session, open_session
from evo.store import lessons as store
from evo.store import meta
from evo.validation import plain
from evo.workspace.layout import Layout
from evo.workspace.pin import SCORER

RECALLED = "recalled_lessons"
"""Read by the brief too."""
MOST_RECALLED = 12
MOST_HARVESTED = 20
MOST_SIMILAR = 5
_BROKEN = (EvoError, sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading files and rows raises that are not what they were written as."""


def lessons(session: Session, exp: str | None, *, limit: int = 50, facts: Facts | None = None) -> LessonsView:
    """For the next child of `exp` (default: the best), its own line and its ancestors' first."""
    known = facts or facts_of(session)
    about = exp or known.best
    if about not in known.nodes:
        raise NotFound(f"no experiment {about!r}", hint="evo tree")
    found = list(_unique([*_near(known, about), *_similar(known, about), *recalled(session)]))
    return LessonsView(about, found[:limit], truncated=len(found) > limit)


def _near(facts: Facts, about: str) -> Iterator[LessonView]:
    line = facts.path(about)
    yield from (_lesson(facts, node, "own" if node.id == about else "ancestor") for node in line[::-1])
    discarded = [node for node in facts.nodes.values() if node.state in ("discarded", "failed")]
    near = {node.id for node in line} | {node.parent for node in line}
    yield from (_lesson(facts, node, f"{node.state} sibling") for node in discarded[::-1] if node.parent in near)


def _similar(facts: Facts, about: str) -> Iterator[LessonView]:
    """By words (FTS5) of hypothesis, technique and settings; of the best where nothing was tried yet: the task's."""
    node = facts.nodes[about]
    query = or_query(_words(node) if about != ROOT else facts.task.objective)
    if not query:
        return
    index = sqlite3.connect(":memory:")
    try:
        index.execute("CREATE VIRTUAL TABLE line USING fts5 (id UNINDEXED, words, tokenize = porter)")
        others = [other for other in facts.nodes.values() if other.id not in (ROOT, about)]
        index.executemany("INSERT INTO line VALUES (?, ?)", [(other.id, _words(other)) for other in others])
        rows = index.execute("SELECT id FROM line WHERE line MATCH ? ORDER BY bm25(line) LIMIT 20", (query,))
        ids = [row[0] for row in rows]
    finally:
        index.close()
    near = [lesson for id in ids if (lesson := _lesson(facts, facts.nodes[id], "similar")).text]
    yield from near[:MOST_SIMILAR]


def _words(node: Node) -> str:
    return f"{node.hypothesis} {node.technique} {node.recipe} {' '.join(node.params)} {node.insight}".replace("_", " ")


def _lesson(facts: Facts, node: Node, relation: str) -> LessonView:
    return LessonView(relation, node.id, insight_of(facts, node.id), is_derived=not node.insight)


def _unique(found: list[LessonView]) -> Iterator[LessonView]:
    seen = set()
    for lesson in found:
        key = lesson.experiment, lesson.origin
        if lesson.text and key not in seen:
            seen.add(key)
            yield lesson


def recalled(session: Session) -> list[LessonView]:
    """What `init` brought from earlier workspaces."""
    kept: list[dict[str, Any]] = meta.get(session.db, RECALLED, default=[])
    return [LessonView(**lesson) for lesson in kept]


def share(session: Session, facts: Facts | None = None) -> int:
    """Put this workspace's lessons into the person's store; how many. Nothing where there is no such store."""
    with store.opened(create=True) as db:
        if db is None:
            return 0
        known = facts or facts_of(session, parses=False)
        root, name = str(session.layout.root), session.config.name or session.layout.root.name
        family, kind = known.task.model_family, kind_of(session)
        rows = [
            store.Lesson(root, node.id, name, node.technique, family, kind, text, not node.insight, node.updated_at)
            for node in known.nodes.values()
            if node.id != ROOT and (text := insight_of(known, node.id))
        ]
        with suppress(sqlite3.Error):
            store.register(db, root, name)
            store.keep(db, rows)
            return len(rows)
    return 0


def recall_at_init(root: Path) -> list[LessonView]:
    """What earlier workspaces have learnt that bears on the new one at `root`, kept in it. Their newest first."""
    with store.opened(create=True) as db:
        if db is None:
            return []
        try:
            for other in _alive(other for other in store.workspaces(db) if other != str(root)):
                copy_context().run(_harvest, other)  # what it may still spend is none of this reply's
            with open_session(root) as session:
                return _keep(session, db)
        except sqlite3.Error:
            return []


def _keep(session: Session, db: sqlite3.Connection) -> list[LessonView]:
    family, _ = model_facts(session)
    about = store.About(str(session.layout.root), family, kind_of(session), techniques_of(session))
    found = [
        LessonView(
            "earlier workspace", lesson.experiment, lesson.text, f"{lesson.name}, {lesson.at[:10]}", lesson.is_derived
        )
        for lesson in store.recall(db, about, limit=MOST_RECALLED)
    ]
    store.register(db, str(session.layout.root), session.config.name or session.layout.root.name)
    if found:
        meta.set(session.db, RECALLED, [plain(lesson) for lesson in found])
    return found


def _alive(roots: Iterable[str]) -> list[Path]:
    """Those that were worked in last, by their stores; one that is gone is none."""
    found: list[tuple[float, str]] = []
    for root in roots:
        with suppress(OSError, ValueError):
            found.append((Layout(Path(root)).db.stat().st_mtime, root))
    return [Path(root) for _, root in sorted(found, reverse=True)[:MOST_HARVESTED]]


def _harvest(root: Path) -> None:
    """Workspaces that never asked for lessons have some too; one that is broken, however it is, is passed over."""
    with suppress(*_BROKEN), open_session(root, readonly=True) as session:
        if session.layout.root == root:
            share(session)


def techniques_of(session: Session) -> frozenset[str]:
    """Those that fit what a model could learn from here; none where no model is trained."""
    shapes = shapes_of(session, training_rows(session)) if session.config.model.source else []
    return frozenset(technique.name for _, technique in recommend(shapes).order if technique.recipe)


def kind_of(session: Session) -> str:
    """What kind of task it is: how it is measured. A command and a scorer of one's own are known by their pages, for
    that there is one says nothing of a task."""
    config = session.config.eval
    is_command = config.backend == "command"
    if not is_command and config.scorer != "custom":
        return f"{config.backend}:{config.scorer}"
    pages = (session.layout.root / name for name in (*([] if is_command else [SCORER]), *config.files))
    told = [config.command, *(sha256_file(page) for page in pages if page.is_file())]
    return f"{'command' if is_command else config.backend}:{sha256_json(told)[:16]}"
