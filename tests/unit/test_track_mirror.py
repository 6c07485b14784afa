"""What the mirror tells of one attempt while its folder grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evo.domain.attempt import Attempt
from evo.domain.job import AttemptFolder
from evo.errors import Busy
from evo.ops.tracking.mirror import Course, Sent, alone, environment_of, offline_after
from evo.ops.tracking.track import Choice, Places, is_running
from evo.ops.tracking.track_pages import Entry
from evo.track.base import Page

ONLINE = Choice("wandb", "online", "asked")


class Journal:
    """An endpoint that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, do: str, **arguments: Any) -> None:
        self.asked.append((do, arguments))

    def points(self) -> list[tuple[int | None, dict[str, float]]]:
        logged = [arguments["points"] for do, arguments in self.asked if do == "log"]
        return [(point.step, point.values) for points in logged for point in points]

    def words(self) -> list[str]:
        return [do for do, _ in self.asked]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    folder = AttemptFolder(tmp_path)
    folder.mid_dir.mkdir()
    attempt = Attempt("exp_0001", 1, 42, "token", "running", "2026-11-01T10:00:00.000Z")
    page = Page("sums-1f-exp-0001-a1", "sums", "sums-1f", "exp_0001", "sft", {"experiment": "exp_0001"})
    return Entry(page, attempt, folder, True, {"state": "open"}, None, "body", "head")


def write(folder: AttemptFolder, steps: range) -> None:
    rows = [{"at": "2026-11-01T10:00:00.000Z", "step": step, "loss": 1 / (step + 1)} for step in steps]
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))


def steps(journal: Journal) -> list[int | None]:
    return [step for step, _ in journal.points()]


def test_a_page_begins_with_the_first_number(entry: Entry) -> None:
    course, journal = Course(entry), Journal()
    course.follow(journal, {}, is_over=False)
    assert journal.asked == []
    write(entry.folder, range(1, 4))
    course.follow(journal, {}, is_over=False)
    write(entry.folder, range(1, 6))
    course.follow(journal, {}, is_over=False)
    assert journal.words() == ["begin", "log", "log"]
    assert steps(journal) == [1, 2, 3, 4, 5]


def test_a_run_that_is_resumed_is_not_told_twice(entry: Entry) -> None:
    """The file goes back to the checkpoint's step 3, and grows on from there."""
    course, journal = Course(entry), Journal()
    write(entry.folder, range(1, 7))
    course.follow(journal, {}, is_over=False)
    write(entry.folder, range(1, 4))
    course.follow(journal, {}, is_over=False)
    write(entry.folder, range(1, 10))
    course.follow(journal, {}, is_over=False)
    assert sorted(set(steps(journal))) == list(range(1, 10))
    assert steps(journal).count(2) == steps(journal).count(5) == 1


def test_a_mid_evaluation_is_told_once_with_its_items(entry: Entry) -> None:
    """A10: streamed to the tracker as it comes in."""
    course, journal = Course(entry), Journal()
    row = {"item": "m1", "sample": 0, "score": 1.0, "output": "4"}
    (entry.folder.mid_dir / "000200.jsonl").write_text(json.dumps(row) + "\n")
    (entry.folder.mid_dir / "000200.json").write_text(json.dumps({"step": 200, "mean": 0.5, "se": 0.1, "n": 8}))
    for _ in range(2):
        course.follow(journal, {"m1": "2+2?"}, is_over=False)
    assert journal.words() == ["begin", "log", "table"]
    assert journal.points()[0] == (200, {"train/step": 200, "mid/score": 0.5, "mid/se": 0.1, "mid/n": 8})
    assert journal.asked[2][1]["table"].rows == [["m1", "2+2?", "4", 1.0, 0]]


def test_a_run_of_the_scripts_own_is_left_alone_until_it_is_over(entry: Entry) -> None:
    """A23: no double instrumentation; then the page is added to, without the curve."""
    (entry.folder.home / "wandb" / f"run-20261101_100000-{entry.page.id}").mkdir(parents=True)
    course, journal = Course(entry), Journal()
    write(entry.folder, range(1, 4))
    course.follow(journal, {}, is_over=False)
    assert journal.asked == []
    course.follow(journal, {}, is_over=True)
    course.finish(journal)
    assert journal.words() == ["begin", "finish"]
    assert journal.asked[0][1]["page"].is_added_to


def test_one_mirror_at_a_time(tmp_path: Path) -> None:
    places = Places(tmp_path / "track")
    assert not is_running(places)
    with alone(places):
        assert is_running(places)
        with pytest.raises(Busy), alone(places):
            pass
    assert not is_running(places)
    with alone(places):
        pass


def test_what_was_sent_is_kept_for_each_tracker_and_a_torn_file_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sent.json"
    sent = Sent(path, ONLINE)
    sent.note("page", "body", "head")
    assert Sent(path, ONLINE).has("page", "body", "head")
    assert not Sent(path, ONLINE).has("page", "body", "other")
    assert not Sent(path, Choice("wandb", "offline", "")).has("page", "body", "head")
    for text in ('{"wandb-online": {"pa', "[]", '{"wandb-online": 3}'):
        path.write_text(text)
        assert not Sent(path, ONLINE).has("page", "body", "head"), text


def test_only_wandb_online_has_a_fallback() -> None:
    assert offline_after(ONLINE) == Choice("wandb", "offline", "asked")
    assert offline_after(Choice("wandb", "offline", "")) is None
    assert offline_after(Choice("mlflow", "online", "")) is None


def test_a_run_around_this_one_is_not_written_into() -> None:
    kept = {"WANDB_API_KEY": "k", "WANDB_ENTITY": "me", "PATH": "/bin"}
    foreign = {"WANDB_RUN_ID": "x", "WANDB_RESUME": "must", "WANDB_MODE": "online", "WANDB_DIR": "/x"}
    assert environment_of(kept | foreign) == kept
