"""What a second start finds of the first: whole checkpoints, a curve without a step too many, no stale question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evo import recipe
from evo.recipe import checkpoints


def checkpoint(folder: Path, name: str, *, is_complete: bool = True) -> Path:
    place = folder / "checkpoints" / name
    place.mkdir(parents=True)
    if is_complete:
        (place / "complete").touch()
    return place


def alone(folder: Path, monkeypatch: pytest.MonkeyPatch, **facts: object) -> recipe.Run:
    monkeypatch.delenv("EVO_JOB", raising=False)
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(json.dumps({"params": {}, **facts}))
    return recipe.current(["--params", str(folder / "params.json"), "--out", str(folder)])


def test_only_a_whole_checkpoint_is_resumed_and_the_newest_of_those(tmp_path: Path, monkeypatch) -> None:
    """A kill in the middle of saving leaves a folder without its mark."""
    run = alone(tmp_path, monkeypatch)
    assert run.resume_from is None
    for name in ("checkpoint-9", "checkpoint-80", "checkpoint-best", "tmp-checkpoint-900"):
        checkpoint(tmp_path, name)
    checkpoint(tmp_path, "checkpoint-120", is_complete=False)
    assert run.resume_from == tmp_path / "checkpoints" / "checkpoint-80"
    assert checkpoints.step_of(run.resume_from) == 80


def test_a_second_start_by_hand_forgets_what_came_after_its_checkpoint(tmp_path: Path, monkeypatch) -> None:
    run = alone(tmp_path, monkeypatch)
    for step in range(1, 8):
        run.log(step=step, loss=1.0 / step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    checkpoint(tmp_path, "checkpoint-5")
    again = alone(tmp_path, monkeypatch)
    again.log(step=6, loss=0.5)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip


def test_mid_evaluations_of_later_steps_and_open_questions_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "mid").mkdir()
    names = "000005.want.json 000005.json 000005.jsonl 000010.want.json 000015.want.json 000015.json 000015.jsonl"
    for name in (*names.split(), "down.json", "job.json"):
        (tmp_path / "mid" / name).write_text('{"step": 5, "mean": 1, "se": 0.1, "n": 8, "seconds": 1}')
    checkpoints.forget_after(tmp_path, 10)
    left = {path.name for path in (tmp_path / "mid").iterdir()}
    assert left == {"000005.want.json", "000005.json", "000005.jsonl", "job.json"}
    assert [score.step for score in checkpoints.scores(tmp_path)] == [5]


def test_a_run_hears_of_a_wish_to_stop(tmp_path: Path, monkeypatch) -> None:
    run = alone(tmp_path, monkeypatch, is_smoke=True, fidelity=0.25)
    assert (run.should_stop, run.is_smoke, run.fidelity, run.mid) == (False, True, 0.25, None)
    (tmp_path / "stop").touch()
    assert run.should_stop


def test_a_page_without_mid_evaluation_is_answered_at_once(tmp_path: Path, monkeypatch) -> None:
    assert alone(tmp_path, monkeypatch).mid_eval(tmp_path, step=1) is None
