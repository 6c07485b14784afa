"""The mirror: a process that follows the tree and tells a tracker's process.

`python -m evo.ops.tracking.mirror ROOT NAME MODE`.

It only reads the store and the attempt folders. At most one is at work in a workspace; it ends by itself when nothing
runs and everything was told. What was told is kept in `sent.json`, so that telling again changes nothing.
Invariant: a page is written from its beginning to its end by one tracker process, or counts as not written. A tracker
that fails or hangs is ended; wandb is then written offline, by a new process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evo.clock import now
from evo.errors import Busy
from evo.files import write_json
from evo.lightdata import dataclass, replace
from evo.ops.tracking.track import Choice, Places
from evo.ops.tracking.track_curves import mid_files, mid_point, mid_table, points_of
from evo.ops.tracking.track_pages import Entry, Survey, TreePage, has_own_run, survey
from evo.runner import records
from evo.runner.metrics import MetricsTail
from evo.session import Session, open_session
from evo.track.base import TrackerDown
from evo.track.chart import draw
from evo.track.wire import Endpoint, Line
from evo.workspace.layout import Layout

PACE_S = 1.0
REST = 5.0
"""It rests this many times as long as its last look at the tree took, so that a large tree costs no more of a core."""
LINGER_S = 2.0
"""How long after the last touch of `wanted` it stays although nothing runs: a run begins a moment after the touch."""
TREE_PACE_S = 60.0
"""The page of the whole tree is written no more often than this while experiments run."""
BATCH = 500
FOREIGN = ("RUN_ID", "NAME", "RUN_GROUP", "RESUME", "DIR", "MODE", "SWEEP_ID", "PROJECT", "JOB_TYPE", "TAGS", "NOTES")
"""Settings of wandb in the environment that mean another run than ours."""


class Sent:
    """What a tracker was told of each page, by its hashes. A file that cannot be read means that nothing was."""

    def __init__(self, path: Path, choice: Choice) -> None:
        self._path = path
        self._key = f"{choice.name}-{choice.mode}"
        known = records.read_record(str(path)) or {}
        self._all: dict[str, dict[str, list[str]]] = {k: v for k, v in known.items() if isinstance(v, dict)}
        self._pages = self._all.setdefault(self._key, {})

    def has(self, page: str, *hashes: str) -> bool:
        return self._pages.get(page) == list(hashes)

    def body_of(self, page: str) -> str:
        return (self._pages.get(page) or [""])[0]

    def note(self, page: str, *hashes: str) -> None:
        self._pages[page] = list(hashes)
        write_json(self._path, self._all)

    def forget(self) -> None:
        self._pages.clear()


class Course:
    """One page while it is written: what of its attempt's folder was told already."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.has_begun = False
        self._is_foreign = False
        self._tail = MetricsTail(entry.folder.metrics)
        self._last_step = -1
        self._told_mids: set[str] = set()

    def follow(self, line: Endpoint, prompts: Mapping[str, str], *, is_over: bool) -> None:
        """Tell what is new. The page begins with its first number, or at the end."""
        rows = self._tail.read()
        mids = [path for path in mid_files(self.entry.folder) if path.name not in self._told_mids]
        if not self.has_begun and not self._begin(line, is_due=bool(rows or mids) or is_over, is_over=is_over):
            return
        while rows:
            self._log(line, rows)
            rows = self._tail.read()
        for path in mids:
            self._tell_mid(line, path, prompts)

    def finish(self, line: Endpoint) -> None:
        line.ask("finish", run=self.entry.page.id, summary=self.entry.summary, artifact=self.entry.artifact)

    def _begin(self, line: Endpoint, *, is_due: bool, is_over: bool) -> bool:
        if not is_due:
            return False
        self._is_foreign = has_own_run(self.entry)
        if self._is_foreign and not is_over:
            self._tail = MetricsTail(self.entry.folder.metrics)
            return False
        line.ask("begin", page=replace(self.entry.page, is_added_to=self._is_foreign))
        self.has_begun = True
        return True

    def _log(self, line: Endpoint, rows: list[dict[str, object]]) -> None:
        """Steps that were told are left out: a run that is resumed takes its file back to its checkpoint."""
        points = [p for p in points_of(rows) if p.step is None or p.step >= self._last_step]
        self._last_step = max([self._last_step, *(p.step for p in points if p.step is not None)])
        if self._is_foreign:
            return
        for start in range(0, len(points), BATCH):
            line.ask("log", run=self.entry.page.id, points=points[start : start + BATCH])

    def _tell_mid(self, line: Endpoint, path: Path, prompts: Mapping[str, str]) -> None:
        self._told_mids.add(path.name)
        point = mid_point(path)
        if point is None:
            return
        line.ask("log", run=self.entry.page.id, points=[point])
        table = mid_table(path, prompts)
        if table is not None:
            line.ask("table", run=self.entry.page.id, table=table)


class Mirror:
    """One tracker process and what it has been told."""

    def __init__(self, line: Endpoint, sent: Sent, choice: Choice) -> None:
        self._line = line
        self._sent = sent
        self._choice = choice
        self._courses: dict[str, Course] = {}
        self._tree_told_at = float("-inf")
        self.told = 0

    def tell(self, found: Survey, *, is_last: bool) -> None:
        """Bring the tracker up to what stands. `is_last`: nothing runs, so the tree's own page is due as well."""
        for entry in found.entries:
            course = self._courses.get(entry.page.id)
            if entry.is_over and not self._sent.has(entry.page.id, entry.body, entry.head):
                self._settle(entry, course, found.prompts)
            elif entry.is_live:
                course = course or self._courses.setdefault(entry.page.id, Course(entry))
                course.follow(self._line, found.prompts, is_over=False)
        if is_last or time.monotonic() - self._tree_told_at > TREE_PACE_S:
            self._tell_tree(found.tree)

    def _settle(self, entry: Entry, course: Course | None, prompts: Mapping[str, str]) -> None:
        """The whole page of an attempt that has ended; only its numbers where nothing else has changed."""
        course = course or Course(entry)
        course.entry = entry
        if self._sent.body_of(entry.page.id) == entry.body and self._choice.mode == "online":
            self._line.ask("begin", page=replace(entry.page, is_added_to=True))
        else:
            course.follow(self._line, prompts, is_over=True)
        course.finish(self._line)
        self._courses.pop(entry.page.id, None)
        self._sent.note(entry.page.id, entry.body, entry.head)
        self.told += 1

    def _tell_tree(self, tree: TreePage) -> None:
        self._tree_told_at = time.monotonic()
        if self._sent.has(tree.page.id, tree.head):
            return
        self._line.ask("begin", page=tree.page)
        self._line.ask("table", run=tree.page.id, table=tree.table)
        self._line.ask("picture", run=tree.page.id, name="tree", svg=draw(tree.nodes))
        self._line.ask("finish", run=tree.page.id, summary=tree.summary, artifact=None)
        self._sent.note(tree.page.id, tree.head)
        self.told += 1


@dataclass(frozen=True)
class Told:
    """What a pass has done: pages written, in which mode, and what went wrong on the way.

    `seen` is the touch of `wanted` that its last look came after; None where it was cut short.
    """

    pages: int
    choice: Choice
    problem: str = ""
    seen: int | None = None


@contextlib.contextmanager
def alone(places: Places, *, patience_s: float = 0.0) -> Iterator[None]:
    """The one mirror of this workspace. Busy when another is at work for longer than `patience_s`."""
    places.make()
    deadline = time.monotonic() + patience_s
    handle = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy("a mirror is at work in this workspace", hint="try again when nothing runs") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def sync(session: Session, choice: Choice, *, rebuild: bool = False) -> Told:
    """Everything that has ended, now. A tracker that fails online is followed by wandb offline, else TrackerDown."""
    places = Places(session.layout.track)
    with alone(places, patience_s=30.0):
        try:
            return _one_pass(session, choice, places, rebuild=rebuild)
        except TrackerDown as error:
            fallback = offline_after(choice)
            if fallback is None:
                raise
            done = _one_pass(session, fallback, places, rebuild=rebuild)
            return replace(done, problem=error.message)
        except OSError as error:
            raise TrackerDown(f"{places.root}: {error.strerror}", hint="free some space, then repeat it") from None


def offline_after(choice: Choice) -> Choice | None:
    """What is tried when a tracker has failed: wandb offline after wandb online, else nothing."""
    return Choice("wandb", "offline", choice.why) if (choice.name, choice.mode) == ("wandb", "online") else None


def _one_pass(session: Session, choice: Choice, places: Places, *, rebuild: bool) -> Told:
    sent = Sent(places.sent, choice)
    if rebuild:
        sent.forget()
    with connected(choice, places) as line:
        mirror = Mirror(line, sent, choice)
        mirror.tell(survey(session), is_last=True)
    told = Told(mirror.told, choice)
    note_status(places, told)
    return told


@contextlib.contextmanager
def connected(choice: Choice, places: Places) -> Iterator[Line]:
    """A tracker's process. What it said last is in the message of a TrackerDown."""
    line = Line(choice.name, choice.mode, places.root, environ=environment_of(os.environ), log=places.log)
    try:
        yield line
        line.close()
    except TrackerDown as error:
        line.kill()
        last = records.tail_lines(str(places.log), lines=1, limit=4096)
        raise TrackerDown(f"{choice.name} ({choice.mode}): {error.message}" + "".join(f": {w}" for w in last)) from None
    except BaseException:
        line.kill()
        raise


def environment_of(ambient: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables less those that name another run of wandb's."""
    return {name: value for name, value in ambient.items() if name not in {f"WANDB_{word}" for word in FOREIGN}}


def watch(layout: Layout, choice: Choice, places: Places) -> Told:
    """Follow the tree until nothing runs. The database is opened anew for each look."""
    sent = Sent(places.sent, choice)
    with connected(choice, places) as line:
        mirror = Mirror(line, sent, choice)
        found = None
        while True:
            began, seen = time.monotonic(), _touch_of(places.wanted)
            with open_session(layout.root, readonly=True) as session:
                found = survey(session, found)
            looked = time.monotonic() - began
            is_idle = not any(entry.is_live for entry in found.entries) and _age(places.wanted) > LINGER_S
            mirror.tell(found, is_last=is_idle)
            if is_idle:
                break
            time.sleep(max(PACE_S, REST * looked))
    return Told(mirror.told, choice, seen=seen)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def note_status(places: Places, told: Told) -> None:
    facts: dict[str, Any] = {"at": now(), "tracker": told.choice.name, "mode": told.choice.mode}
    with contextlib.suppress(OSError):
        write_json(places.status, facts | {"problem": told.problem})


def work(layout: Layout, choice: Choice) -> None:
    """One mirror's life: the tracker, its fallback, and once more where somebody came as the lock was given up."""
    places = Places(layout.track)
    problem = ""
    while True:
        try:
            with alone(places):
                told = _watch_or_fall_back(layout, choice, places)
                problem = told.problem or problem
                note_status(places, replace(told, problem=problem))
        except Busy:
            return  # that one has been told by the touch of `wanted`
        if told.seen in (None, _touch_of(places.wanted)):
            return
        choice = told.choice


def _watch_or_fall_back(layout: Layout, choice: Choice, places: Places) -> Told:
    try:
        return watch(layout, choice, places)
    except TrackerDown as error:
        fallback = offline_after(choice)
        if fallback is None:
            return Told(0, choice, error.message)
        note_status(places, Told(0, fallback, error.message))
        try:
            return replace(watch(layout, fallback, places), problem=error.message)
        except TrackerDown as second:
            return Told(0, fallback, second.message)


def _touch_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


if __name__ == "__main__":
    os.nice(10)
    work(Layout(Path(sys.argv[1])), Choice(sys.argv[2], sys.argv[3], "started by a run"))
