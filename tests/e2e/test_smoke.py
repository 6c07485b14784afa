"""`evo run --smoke`, and the trial before a first full run: one test for each reason that it refuses.

The pages are plain Python in a `command` workspace whose base model is a few bytes of real safetensors.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from workspaces import SCORE, Answer, clean_environment, evo, write_gold

GOOD = """\
import os, pathlib, shutil
from evo import recipe

run = recipe.current()
with open(run.cache_dir / "starts", "a") as file:
    file.write(f"{run.experiment} {run.attempt} {run.is_smoke} {len(list(run.rows('train')))}\\n")
shutil.copytree(run.base_model, run.output_dir, dirs_exist_ok=True)
for path in run.output_dir.iterdir():
    path.chmod(0o644)
(run.output_dir / "skill.txt").write_text("0.9")
run.log(step=1, loss=0.5)
# HERE
run.finish(run.output_dir)
"""
RECIPE = "name: own\ntechnique: sft\ndata: {train: [{source: data/train.jsonl}]}\n"
TEMPLATE = "{{ messages }}"
ROWS = [{"prompt": f"how much is {n} and {n + 1}", "target": str(2 * n + 1)} for n in range(60)]


def save_base(folder: Path) -> Path:
    """One tensor of bfloat16, and a tokenizer of two tokens with a template."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    (folder / "config.json").write_text(json.dumps({"dtype": "bfloat16"}))
    tokens = [{"id": 1, "content": "<|end|>", "special": True}]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": tokens}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>", "chat_template": TEMPLATE}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored baseline under a base model, and an idle recipe; copied for each test."""
    home = tmp_path_factory.mktemp("smoke")
    base = save_base(home / "base")
    workspace = home / "ws"
    gold = write_gold(home / "gold.jsonl", 120)
    (home / "score.py").write_text(SCORE)
    words = ["--eval-command", "python score.py", "--eval-files", home / "score.py", "--model", base]
    assert evo("init", workspace, "--template", "command", "--gold", gold, *words, cwd=home).code == 0
    (workspace / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    return home


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home", symlinks=True)
    return tmp_path / "home" / "ws"


def plant(workspace: Path, here: str = "", *, name: str = "own", hypothesis: str = "x") -> str:
    """An experiment whose page does `here` before it finishes."""
    folder = workspace / "recipes" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "train.py").write_text(GOOD.replace("# HERE", here))
    answer = evo("new", "--recipe", name, "-m", hypothesis, "--parent", "exp_0000", cwd=workspace)
    assert answer.code == 0, answer.err + answer.out
    found: str = answer.data["id"]
    return found


def starts(workspace: Path) -> list[list[str]]:
    """[experiment, attempt, is_smoke, rows] of every start of the page."""
    path = workspace / ".evo" / "cache" / "runs" / "starts"
    return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []


def refused(answer: Answer, reason: str) -> dict[str, str]:
    assert answer.code == 4, answer.out + answer.err
    assert answer.error["code"] == "smoke"
    assert f"({reason})" in answer.error["message"], answer.error
    return answer.error


def test_a_new_recipe_is_tried_once_and_then_run(workspace: Path) -> None:
    """A5: ten rows before the full run; a further experiment with the same recipe is not tried again."""
    first = plant(workspace)
    ran = evo("run", first, cwd=workspace).data
    assert [attempt["n"] for attempt in ran["attempts"]] == [1], "the trial is no attempt"
    assert starts(workspace) == [[first, "0", "True", "10"], [first, "1", "False", "60"]]
    second = plant(workspace, hypothesis="the same once more, on other grounds")
    assert evo("run", second, "--rerun", cwd=workspace).code == 0
    assert starts(workspace)[2:] == [[second, "1", "False", "60"]]
    edited = plant(workspace, "pass", hypothesis="another page")
    assert evo("run", edited, "--rerun", cwd=workspace).code == 0
    assert [start[2] for start in starts(workspace)[3:]] == ["True", "False"]


def test_the_trial_leaves_nothing_in_the_tree(workspace: Path) -> None:
    """`--smoke` alone: no attempt, no event, no score, no weights."""
    node = plant(workspace)
    before = evo("show", node, cwd=workspace).data
    events = evo("log", cwd=workspace).data
    answer = evo("run", node, "--smoke", cwd=workspace)
    view = answer.data
    assert (answer.code, view["passed"], view["rows"], view["faults"]) == (0, True, 10, [])
    assert view["score"]["n"] == 32
    assert view["score"]["mean"] > view["base"] > 0
    assert evo("show", node, cwd=workspace).data == before
    assert evo("log", cwd=workspace).data == events
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        assert db.execute("SELECT count(*) FROM attempt WHERE experiment = ?", (node,)).fetchone() == (0,)
    assert not list((workspace / ".evo" / "cache" / "smoke").rglob("*.safetensors"))
    assert not (workspace / ".evo" / "attempts" / node).exists()
    assert answer.document["next"][0]["cmd"] == f"evo run {node}"


def test_never_means_never_and_a_command_is_exempt(workspace: Path) -> None:
    node = plant(workspace, "(run.output_dir / 'skill.txt').write_text('0')")
    assert evo("run", node, cwd=workspace, EVO_RUN_SMOKE="never").data["score"]["mean"] == 0
    assert [start[2] for start in starts(workspace)] == ["False"]
    short = 'test "$EVO_SMOKE" && skill=0; echo ${skill-0.9} > "$EVO_CHECKPOINT_DIR/skill.txt"'
    argv = f"""argv=sh -c 'cp "$EVO_SEED_ARTIFACT"/* "$EVO_CHECKPOINT_DIR"; {short}'"""
    made = evo("new", "--recipe", "command", "--set", argv, "-m", "y", "--parent", "exp_0000", cwd=workspace).data["id"]
    assert evo("run", made, cwd=workspace).data["score"]["mean"] > 0.5
    tried = evo("run", made, "--smoke", cwd=workspace)
    refused(tried, "score")


def test_a_refused_run_stays_pending_and_runs_when_its_page_is_mended(workspace: Path) -> None:
    node = plant(workspace, "run.log(step=2, loss=float('nan'))")
    refused(evo("run", node, cwd=workspace), "dtype")
    shown = evo("show", node, cwd=workspace).data
    assert (shown["state"], shown["attempts"]) == ("pending", [])
    page = workspace / ".evo" / "worktrees" / node / "recipe" / "train.py"
    page.write_text(page.read_text().replace("nan", "1"))
    assert evo("run", node, cwd=workspace).data["state"] in ("open", "committed")


def test_dtype_weights_that_are_not_finite(workspace: Path) -> None:
    """A5, reason dtype."""
    spoil = """path = run.output_dir / "model.safetensors"
path.write_bytes(path.read_bytes()[:-2] + b"\\xc0\\x7f")"""
    error = refused(evo("run", plant(workspace, spoil), cwd=workspace), "dtype")
    assert "not finite: w" in error["message"]


def test_dtype_weights_saved_in_another_precision_than_the_base(workspace: Path) -> None:
    """A5, reason dtype."""
    widen = """path = run.output_dir / "model.safetensors"
path.write_bytes(path.read_bytes().replace(b'"BF16", "shape": [8]', b'"F32",  "shape": [4]'))"""
    error = refused(evo("run", plant(workspace, widen), cwd=workspace), "dtype")
    assert "F32" in error["message"]
    assert "BF16" in error["message"]


def edit(name: str, old: str, new: str) -> str:
    return f"path = run.output_dir / {name!r}\npath.write_text(path.read_text().replace({old!r}, {new!r}))"


def test_template_another_one_was_saved(workspace: Path) -> None:
    """A5, A30, reason template."""
    page = edit("tokenizer_config.json", TEMPLATE, "{{ other }}")
    error = refused(evo("run", plant(workspace, page), cwd=workspace), "template")
    assert "chat template" in error["message"]


def test_template_another_end_token_was_saved(workspace: Path) -> None:
    """A5, A30, reason template."""
    page = edit("tokenizer_config.json", "<|end|>", "<|stop|>")
    error = refused(evo("run", plant(workspace, page), cwd=workspace), "template")
    assert "eos_token is '<|stop|>'" in error["message"]


def test_template_drift_between_data_and_evaluation(workspace: Path) -> None:
    """A5, A30: rows that were rendered before, with a template that no dev item knows."""
    rows = [{"prompt": f"<|im_start|>user\n{row['prompt']}<|im_end|>", "target": row["target"]} for row in ROWS]
    (workspace / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    error = refused(evo("run", plant(workspace), cwd=workspace), "template")
    assert "<|im_start|>" in error["message"]


def test_tokenizer_the_vocabulary_has_changed(workspace: Path) -> None:
    """A5, reason tokenizer."""
    page = edit("tokenizer.json", '"a": 0', '"a": 0, "b": 2')
    error = refused(evo("run", plant(workspace, page), cwd=workspace), "tokenizer")
    assert "1 new ('b')" in error["message"]


def test_out_of_memory(workspace: Path) -> None:
    """A5, reason out_of_memory: a real allocation that the system refuses."""
    page = """import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
bytearray(1 << 33)"""
    error = refused(evo("run", plant(workspace, page), cwd=workspace), "out_of_memory")
    assert "batch_size" in error["hint"]


def test_empty_output_folder(workspace: Path) -> None:
    """A5, reason no_output: an empty artifacts folder."""
    page = "shutil.rmtree(run.output_dir)\nrun.output_dir.mkdir()\nos._exit(0)"
    refused(evo("run", plant(workspace, page), cwd=workspace), "no_output")


@pytest.mark.parametrize("value", ["0", "1"])
def test_reward_always_the_same(workspace: Path, value: str) -> None:
    """A5, reason reward: always 0 or always 1."""
    page = f"for step in (2, 3): run.log(step=step, reward={value}.0, reward_std=0.0)"
    error = refused(evo("run", plant(workspace, page), cwd=workspace), "reward")
    assert f"the reward was {value} for every completion" in error["message"]


def test_score_nothing_right_where_the_base_is_right(workspace: Path) -> None:
    """A5: the benchmark is non-zero on a few items, or the full run is refused."""
    node = plant(workspace, "(run.output_dir / 'skill.txt').write_text('0')")
    answer = evo("run", node, "--smoke", cwd=workspace)
    refused(answer, "score")
    assert answer.document["data"]["score"]["mean"] == 0
    assert answer.document["data"]["faults"][0]["reason"] == "score"


def test_a_page_that_fails_for_another_reason_names_its_last_line_and_its_log(workspace: Path) -> None:
    node = plant(workspace, "raise KeyError('prompt')")
    error = refused(evo("run", node, cwd=workspace), "training")
    assert "KeyError: 'prompt'" in error["message"]
    log = Path(error["hint"].partition("log: ")[2].partition(";")[0])
    assert "KeyError" in log.read_text()


def test_an_evaluator_that_cannot_load_the_checkpoint_refuses_the_run(workspace: Path) -> None:
    """A5: a checkpoint that the benchmark can load."""
    node = plant(workspace, "(run.output_dir / 'skill.txt').write_text('not a number')")
    refused(evo("run", node, cwd=workspace), "evaluation")


def test_words_that_do_not_go_with_it_and_the_baseline_are_refused(workspace: Path) -> None:
    assert evo("run", "--next", "--smoke", cwd=workspace).code == 2
    assert evo("run", "exp_0000", "--smoke", cwd=workspace).code == 2
    assert evo("run", "exp_0099", "--smoke", cwd=workspace).code == 3


def test_two_workers_with_one_new_recipe_try_it_once(workspace: Path) -> None:
    nodes = [plant(workspace, "import time; time.sleep(0.5)", hypothesis=str(n)) for n in range(2)]
    assert evo("config", "set", "run.slots", "2", cwd=workspace).code == 0
    argv = [sys.executable, "-m", "evo", "run"]
    quiet = {"cwd": workspace, "env": clean_environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ran = [subprocess.Popen([*argv, node, "--rerun"], **quiet) for node in nodes]
    assert [each.wait(60) for each in ran] == [0, 0]
    assert sorted(start[2] for start in starts(workspace)) == ["False", "False", "True"]
