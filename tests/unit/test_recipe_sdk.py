"""The SDK of a training page: what it reads of a job, what it writes, and what it says when something is missing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evo import recipe
from evo.domain.job import AttemptFolder, Job, RunFacts
from evo.errors import FileFormatError, NotFound, UsageError
from evo.files import sha256_file, write_json, write_jsonl
from evo.validation import plain


@pytest.fixture
def facts(tmp_path: Path) -> RunFacts:
    folder = tmp_path / "attempt"
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": "2+2=", "target": "4"}, {"prompt": "1+1=", "target": "2"}])
    for name in ("output", "cache"):
        (folder / name).mkdir(parents=True)
    return RunFacts(
        "exp_0007", 2, 11, {"learning_rate": 5e-5}, {"train": str(tmp_path / "train.jsonl")},
        str(folder / "output"), str(folder / "cache"), "/models/base", "/parents/output", "Add.", "{{ messages }}",
        "parent",
    )  # fmt: skip


@pytest.fixture
def under_job(tmp_path: Path, facts: RunFacts, monkeypatch: pytest.MonkeyPatch):
    def enter(**changes: object) -> recipe.Run:
        folder = AttemptFolder(tmp_path / "attempt")
        job = Job("exp_0007", 2, str(folder.root), None, None, replace(facts, **changes))
        write_json(folder.job, plain(job))
        monkeypatch.setenv("EVO_JOB", str(folder.root))
        return recipe.current()

    return enter


def metrics_of(run: recipe.Run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def test_a_page_sees_every_fact_of_its_job(under_job):
    run = under_job()
    assert run.params.learning_rate == run.params["learning_rate"] == 5e-5
    assert (run.experiment, run.attempt, run.seed) == ("exp_0007", 2, 11)
    assert (run.base_model, run.seed_artifact, run.init_from) == ("/models/base", "/parents/output", "parent")
    assert (run.system_prompt, run.chat_template) == ("Add.", "{{ messages }}")
    assert [row["target"] for row in run.rows("train")] == ["4", "2"]
    assert run.output_dir == run.folder / "output"
    assert run.cache_dir == run.folder / "cache"


def test_needs_the_standard_library_only():
    code = (
        "import sys, evo.recipe; names = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(names - set(sys.stdlib_module_names) - {'__main__', 'evo'}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(recipe.__file__).parents[2])})  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_what_is_missing_is_named_with_the_nearest_that_is_there(under_job):
    run = under_job()
    with pytest.raises(NotFound, match=r"job\.json gives no parameter 'learning_rat'") as caught:
        _ = run.params.learning_rat
    assert "did you mean 'learning_rate'" in caught.value.hint
    assert caught.value.__notes__ == [caught.value.hint], "the traceback of a page shows the hint too"
    assert run.params.get("absent", 3) == getattr(run.params, "absent", 3) == 3
    with pytest.raises(NotFound, match="no data named 'dev'"):
        run.data("dev")


def test_not_a_number_is_logged_as_null_and_numbers_of_numpy_as_numbers(under_job):
    run = under_job()
    run.log(step=np.int64(1), loss=math.nan, grad_norm=math.inf, accuracy=np.float32(0.5), note="first")
    run.log(step=2, loss=0.25)
    first, second = metrics_of(run)
    assert first.pop("at").endswith("Z")
    assert first == {"step": 1, "loss": None, "grad_norm": None, "accuracy": 0.5, "note": "first"}
    assert second["loss"] == 0.25
    with pytest.raises(UsageError, match="losses is a list"):
        run.log(step=3, losses=[1.0])


def test_a_line_costs_less_than_a_tenth_of_a_millisecond(under_job):
    run = under_job()
    times = []
    for step in range(1000):
        start = time.perf_counter()
        run.log(step=step, loss=0.5, learning_rate=1e-5, grad_norm=1.25, tokens=12345)
        times.append(time.perf_counter() - start)
    assert sorted(times)[500] < 1e-4
    assert len(metrics_of(run)) == 1000


def test_finish_keeps_the_model_and_names_the_artifacts(under_job):
    run = under_job()
    (run.output_dir / "draft.bin").write_text("of an earlier try")
    best = run.folder / "checkpoints" / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_text("weights")
    (best / "model.safetensors").chmod(0o600)
    (run.folder / "curve.json").write_text("[]")
    run.log(step=9, loss=0.5)
    run.finish(best, {"curve": run.folder / "curve.json", "weights": best / "model.safetensors"})
    assert [path.name for path in run.output_dir.iterdir()] == ["model.safetensors"]
    assert (run.output_dir / "model.safetensors").stat().st_mode & 0o777 == 0o644, "a child may train as another user"
    assert not best.exists(), "moved, not doubled: it lay in the attempt's own folder"
    curve, weights = json.loads((run.folder / "artifacts.json").read_text())
    assert curve == {
        "label": "curve", "kind": "file", "uri": str(run.folder / "curve.json"),
        "content_key": sha256_file(run.folder / "curve.json"),
    }  # fmt: skip
    assert weights["uri"] == str(run.output_dir / "model.safetensors")
    assert json.loads((run.folder / "train_summary.json").read_text())["last"] == {"step": 9, "loss": 0.5}


def test_finish_copies_what_is_not_its_own(under_job, tmp_path):
    run = under_job()
    foreign = tmp_path / "elsewhere"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    run.finish(foreign)
    assert (foreign / "config.json").exists()
    assert (run.output_dir / "config.json").exists()


def test_finish_refuses_an_empty_folder_and_an_artifact_that_is_not_there(under_job, tmp_path):
    run = under_job()
    with pytest.raises(NotFound, match="holds no model"):
        run.finish(tmp_path / "nowhere")
    (run.output_dir / "config.json").write_text("{}")
    with pytest.raises(NotFound, match="artifact 'data' is not at"):
        run.finish(run.output_dir, {"data": tmp_path / "absent.jsonl"})
    assert not (run.folder / "artifacts.json").exists()


def test_only_rank_zero_writes(under_job, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run = under_job()
    run.log(step=1, loss=1.0)
    run.finish(run.output_dir)
    assert sorted(path.name for path in run.folder.iterdir()) == ["cache", "job.json", "output"]
    monkeypatch.setenv("RANK", "0")
    assert under_job().is_main


def test_stand_alone_reads_a_file_whose_paths_count_from_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("EVO_JOB", raising=False)
    (tmp_path / "base").mkdir()
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": "2+2=", "target": "4"}])
    stated = {"params": {"epochs": 2}, "data": {"train": "train.jsonl"}, "base_model": "base", "seed": 5}
    write_json(tmp_path / "try.json", stated)
    monkeypatch.chdir(os.sep)
    run = recipe.current(["--params", str(tmp_path / "try.json"), "--out", str(tmp_path / "out")])
    assert (run.params.epochs, run.seed, run.base_model) == (2, 5, str(tmp_path / "base"))
    assert next(run.rows("train"))["target"] == "4"
    assert run.output_dir.is_dir()
    write_json(tmp_path / "try.json", {**stated, "parms": {}})
    with pytest.raises(FileFormatError, match="field parms: unknown key") as caught:
        recipe.current(["--params", str(tmp_path / "try.json"), "--out", str(tmp_path / "out")])
    assert "did you mean 'params'" in caught.value.hint


def test_bad_input_is_named_by_file_and_line(under_job, facts, tmp_path):
    Path(facts.data["train"]).write_text('{"prompt": "a"}\n\n{"prompt": \n')
    with pytest.raises(FileFormatError, match=r"train\.jsonl, line 3: is not JSON"):
        list(under_job().rows("train"))
    (tmp_path / "attempt" / "job.json").write_text('{"schema": "evo-job/9", "run": {}}')
    with pytest.raises(FileFormatError, match="is no evo-job/1 document"):
        recipe.current()
