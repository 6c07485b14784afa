"""A benchmark that yields one number a call: run again and again, ranked and shown, never certified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import evo, new, skilled, write_gold

EVALUATE = """\
import argparse, json, os, pathlib, random

parser = argparse.ArgumentParser()
parser.add_argument("--model-path", default="final_model")
parser.add_argument("--json-output-file")
parser.add_argument("--limit", type=int, default=150)
args = parser.parse_args()
file = pathlib.Path(args.model_path) / "skill.txt"
skill = float(file.read_text()) if file.exists() else 0.4
draw = random.Random(int(os.environ["EVO_SAMPLE_SEED"]))
accuracy = sum(draw.random() < skill for _ in range(400)) / 400
pathlib.Path(args.json_output_file).write_text(json.dumps({"accuracy": accuracy, "stderr": 0.02}))
"""
COMMAND = "python evaluate.py --model-path {model} --json-output-file {out} --limit -1"


def scalar_workspace(folder: Path, *words: str, script: str = EVALUATE) -> Path:
    (folder / "evaluate.py").write_text(script)
    answer = evo(
        "init", folder / "w", "--template", "command", "--eval-command", COMMAND, "--eval-files",
        folder / "evaluate.py", "--set", "eval.mode=scalar", "--set", "metric.name=accuracy", *words, cwd=folder,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.document["next"][-1]["cmd"] == "evo run exp_0000"
    return folder / "w"


def test_a_scalar_benchmark_is_ranked_and_shown_and_never_certified(tmp_path):
    """§6: no gold items are needed; R calls, their mean and standard error; no certificate, no release."""
    workspace = scalar_workspace(tmp_path)
    base = evo("run", "exp_0000", cwd=workspace).data
    assert (base["score"]["n"], base["counted"]) == (3, "repeats")
    for skill in ("0.5", "0.7"):
        made = new(workspace, skilled(skill), f"a skill of {skill}", "--parent", "exp_0000")
        ran = evo("run", made, cwd=workspace).data
        assert abs(ran["score"]["mean"] - float(skill)) < 0.1
        assert 0 < ran["score"]["se"] < 0.05
        assert "never certified" in ran["message"]
        assert ran["certificate"] is None
    assert evo("frontier", cwd=workspace).data["picks"][0]["id"] == "exp_0002"
    assert evo("status", cwd=workspace).data["looks"]["used"] == 0
    for words in (["certify", "exp_0002"], ["release"], ["release", "exp_0002"]):
        refused = evo(*words, cwd=workspace)
        assert (refused.code, refused.error["code"]) == (4, "refused")
        assert "eval.mode: scalar" in refused.error["message"]
    assert evo("fsck", cwd=workspace).data["findings"] == []


def test_a_seal_that_is_there_does_not_make_a_scalar_benchmark_certifiable(tmp_path):
    workspace = scalar_workspace(tmp_path, "--gold", str(write_gold(tmp_path / "gold.jsonl", 200)))
    assert evo("run", new(workspace, skilled("0.9"), "much better"), cwd=workspace).code == 0
    assert evo("certify", "exp_0001", cwd=workspace).code == 4
    assert evo("status", cwd=workspace).data["looks"]["used"] == 0


def test_items_can_be_sealed_where_a_benchmark_was_scalar(tmp_path):
    workspace = scalar_workspace(tmp_path)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    sealed = evo("data", "seal", "--gold", write_gold(tmp_path / "gold.jsonl", 200), cwd=workspace)
    assert sealed.data["splits"]["heldout"] == 60
    assert evo("data", "seal", "--gold", tmp_path / "gold.jsonl", cwd=workspace).code == 4


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{'accuracy': float('nan')}", "field accuracy: score must be finite, not nan (call 1 of 3)"),
        ("{'accuracy': True}", "field accuracy: score must be a number, not true"),
        ("{'accuracy': 45.0}", "field accuracy: score 45.0 is outside the range [0.0, 1.0]"),
        ("{'f1': 0.5}", "field accuracy: is missing (evo config set metric.name FIELD; known: f1)"),
    ],
)
def test_a_number_that_is_none_fails_the_attempt_and_names_file_and_field(tmp_path, written, said):
    """§12: NaN, inf, bool or string is never recorded as a score."""
    script = f"import json, sys\nopen(sys.argv[4], 'w').write(json.dumps({written}))\n"
    workspace = scalar_workspace(tmp_path, script=script)
    failed = evo("run", "exp_0000", cwd=workspace)
    assert failed.code == 6
    assert f"RESULT.json, {said}" in failed.document["error"]["message"]
    assert failed.document["data"]["score"] is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["eval.mode=scalar", "eval.read=inspect"], "field eval.read"),
        (["eval.mode=scalar", "eval.samples=2"], "field eval.samples"),
        (["eval.mode=scalar", "eval.backend=hf"], "field eval.mode"),
        (["eval.read=lm-eval", "eval.backend=hf"], "field eval.read"),
        (["eval.mode=scalar", "eval.repeats=2"], "eval.repeats"),
    ],
)
def test_settings_that_do_not_go_together_are_named_before_anything_is_made(tmp_path, settings, said):
    sets = [word for setting in settings for word in ("--set", setting)]
    refused = evo("init", "w", "--template", "command", "--eval-command", "true", *sets, cwd=tmp_path)
    assert refused.code == 2
    assert said in refused.error["message"]
    assert not (tmp_path / "w").exists()


def test_repeats_are_part_of_the_evaluation(tmp_path):
    """A change of `eval.repeats` is a new epoch, named; the baseline is called anew."""
    workspace = scalar_workspace(tmp_path)
    assert evo("run", new(workspace, skilled("0.5"), "better"), cwd=workspace).code == 0
    assert evo("config", "set", "eval.repeats", "5", cwd=workspace).code == 0
    assert evo("rescore", "exp_0001", cwd=workspace).code == 0
    assert evo("show", "exp_0001", cwd=workspace).data["score"]["n"] == 5
    assert evo("show", "exp_0000", cwd=workspace).data["score"]["n"] == 5


def test_a_recipe_with_data_can_be_the_first_thing_that_is_run(tmp_path):
    """Nothing is sealed, and so nothing is held back from the data or looked for in it."""
    workspace = scalar_workspace(tmp_path)
    rows = [{"prompt": f"{i}", "target": f"{i}"} for i in range(5)]
    (workspace / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = workspace / "recipes" / "counted"
    recipe.mkdir(parents=True)
    train = "wc -l < $EVO_DATASET && echo 0.7 > $EVO_CHECKPOINT_DIR/skill.txt"
    stated = {"argv": {"type": "str", "default": f"sh -c '{train}'"}}
    data = {"train": [{"source": "data/train.jsonl"}]}
    described = {"name": "counted", "technique": "sft", "data": data, "params": stated}
    (recipe / "recipe.yaml").write_text(json.dumps(described))
    made = evo("new", "--recipe", "counted", "-m", "on five rows", cwd=workspace).data["id"]
    ran = evo("run", made, cwd=workspace)
    assert ran.code == 0, ran.out
    assert (workspace / ".evo" / "attempts" / made / "1" / "train.log").read_text().strip() == "5"


def test_a_suite_has_no_place_in_a_scalar_benchmark(tmp_path):
    workspace = scalar_workspace(tmp_path)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    gold = write_gold(tmp_path / "suite.jsonl", 3)
    assert evo("eval", "exp_0000", "--scratch", "--suite", gold, cwd=workspace).code == 4
    assert evo("eval", "exp_0000", "--scratch", cwd=workspace).data["n"] == 3
