"""How a run is doing: read from the end of what it wrote, whatever that is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evo.cli.live.vitals import mid_words, short_count, spark, vital_words
from evo.domain.job import AttemptFolder
from evo.domain.run_views import MidView, VitalsView
from evo.files import write_json
from evo.runner import vitals
from evo.runner.vitals import read_vitals


def folder_with(root: Path, *rows: dict[str, object], torn: str = "", **run: object) -> AttemptFolder:
    folder = AttemptFolder(root)
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)
    write_json(folder.job, {"run": {"params": {}, **run}})
    return folder


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z"


def test_each_metric_is_the_last_finite_value_that_was_logged(tmp_path: Path) -> None:
    """A24: loss, step, rate; gradient, entropy, KL; reward mean and spread; tokens a second and memory."""
    rows = [
        {"step": 1, "loss": 2.0, "lr": 1e-3, "reward": 0.5, "reward_std": 0.3, "kl": 0.01, "entropy": 1.5},
        {"step": 2, "loss": None, "grad_norm": 0.7, "tokens_per_second": 850.5, "gpu_memory_gb": 3.25, "reward": True},
    ]
    seen = read_vitals(folder_with(tmp_path, *rows, torn='{"step": 3, "loss": 9'))
    assert (seen.step, seen.loss, seen.learning_rate, seen.grad_norm) == (2, 2.0, 1e-3, 0.7)
    assert (seen.reward, seen.reward_std, seen.kl, seen.entropy) == (0.5, 0.3, 0.01, 1.5)
    assert (seen.tokens_per_second, seen.gpu_memory_gb) == (850.5, 3.25)
    assert (seen.total, seen.ends_in_s, seen.mids, seen.heartbeat_age_s) == (None, None, [], None)


def test_the_expected_finish_follows_from_the_pace_and_the_steps_to_do(tmp_path: Path) -> None:
    rows = [{"at": at(10), "step": 10, "epoch": 0.5}, {"at": at(70), "step": 30, "epoch": 1.5}]
    by_epochs = read_vitals(folder_with(tmp_path, *rows, params={"epochs": 3, "max_steps": 0}))
    assert (by_epochs.total, by_epochs.ends_in_s) == (60, 90.0)
    by_steps = read_vitals(folder_with(tmp_path, *rows, params={"epochs": 3, "max_steps": 40}))
    assert (by_steps.total, by_steps.ends_in_s) == (40, 30.0)
    partial = read_vitals(folder_with(tmp_path, *rows, params={"max_steps": 160}, fidelity=0.25))
    assert (partial.total, partial.ends_in_s) == (40, 30.0)
    over = read_vitals(folder_with(tmp_path, *rows, params={"max_steps": 20}))
    assert over.ends_in_s == 0.0


def test_mid_evaluations_are_read_by_step_and_half_a_file_is_none(tmp_path: Path) -> None:
    """A10: every mid-evaluation is a point on the live view."""
    folder = folder_with(tmp_path)
    folder.mid_dir.mkdir()
    for step in (1000, 5, 200):
        write_json(folder.mid_dir / f"{step:06d}.json", {"step": step, "mean": 0.5, "se": 0.1, "n": 32, "delta": 0.02})
    write_json(folder.mid_dir / "000300.want.json", {"step": 300, "model": "x"})
    (folder.mid_dir / "000400.json").write_text('{"step": 400, "me')
    write_json(folder.mid_dir / "000500.json", {"step": 500, "mean": "high", "se": 0.1, "n": 32})
    write_json(folder.mid_dir / "down.json", {"why": "x"})
    assert [(mid.step, mid.delta, mid.delta_se) for mid in read_vitals(folder).mids] == [
        (5, 0.02, None), (200, 0.02, None), (1000, 0.02, None)
    ]  # fmt: skip


def test_a_look_is_bounded_however_much_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "TAIL_BYTES", 200)
    rows = [{"step": step, "loss": float(step)} for step in range(1000)]
    found = vitals.tail_rows(str(folder_with(tmp_path, {"step": 0, "kl": 1.0}, *rows).metrics))
    assert 3 < len(found) < 10
    assert found[-1]["step"] == 999
    assert read_vitals(AttemptFolder(tmp_path)).kl is None, "the first line was not read"


def test_what_a_run_put_in_the_place_of_its_files_reads_as_nothing(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    folder.metrics.mkdir()
    folder.mid_dir.write_text("no folder")
    folder.job.write_text("[1]")
    assert read_vitals(folder) == VitalsView()
    folder.metrics.rmdir()
    folder.metrics.write_text('[1, 2]\nnot json\n{"step": "four"}\n')
    assert read_vitals(folder).step is None


def test_the_words_leave_out_what_is_not_known_and_stand_in_order_of_weight() -> None:
    mids = [MidView(step, mean, 0.05, 32) for step, mean in ((5, 0.1), (10, 0.5), (15, 0.4))]
    view = VitalsView(step=40, total=200, ends_in_s=190.2, loss=0.5123, reward=0.25, reward_std=0.1, mids=mids)
    assert vital_words(view) == ["step 40/200", "ends in 3:10", "mid ▁█▆ 0.400", "reward 0.250 ±0.100", "loss 0.512"]
    assert vital_words(VitalsView(heartbeat_age_s=1.0)) == []
    assert vital_words(VitalsView(heartbeat_age_s=75.0)) == ["heard of 1:15 ago"]
    assert vital_words(VitalsView(learning_rate=1e-3, tokens_per_second=12_345.0, gpu_memory_gb=3.21)) == [
        "lr 1e-3", "12k tok/s", "3.2 GB"
    ]  # fmt: skip


def test_a_sparkline_spans_lowest_to_highest() -> None:
    assert spark([0.0, 0.5, 1.0]) == "▁▅█"
    assert spark([0.3, 0.3]) == "▄▄"
    assert spark([]) == ""
    assert len(spark([float(i) for i in range(100)])) == 12
    assert mid_words([MidView(5, 0.5, 0.05, 32, delta=-0.1, delta_se=0.1)]) == "mid ▄ 0.500 (-0.100 ±0.196)"
    assert [short_count(value) for value in (12.4, 1234, 34567)] == ["12", "1.2k", "35k"]
