"""A real task of the LM Evaluation Harness on the demo's tiny model, called by its own command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import evo

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'evo-tree[eval]'")
pytest.importorskip("torch")

ADDITION = Path(__file__).parents[2] / "workspace_template" / "addition"
TASK = """\
task: sums
custom_dataset: !function sums.rows
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["<|end|>"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match}]
"""
ROWS = """\
import json

import datasets


def rows(items, **others):
    found = [json.loads(line) for line in open(items)]
    docs = [
        {"id": row["id"], "question": row["messages"][0]["content"], "answer": row["messages"][1]["content"]}
        for row in found
    ]
    return {"test": datasets.Dataset.from_list(docs)}
"""
COMMAND = (
    "lm_eval --model hf --model_args pretrained={model},dtype=float32 --device cpu --tasks sums --include_path ."
    """ --metadata '{"items": "{items}"}' --apply_chat_template --log_samples --output_path {logs}"""
)


@pytest.mark.slow
def test_the_log_of_a_real_harness_task_gives_what_evos_own_evaluation_gives(tmp_path):
    """§6, §7: item for item, the harness's own entry point agrees with backend hf on the same weights."""
    gold = tmp_path / "gold.jsonl"
    lines = (ADDITION / "gold.jsonl").read_text().splitlines()[:64]
    gold.write_text("".join(line + "\n" for line in lines))
    (tmp_path / "sums.yaml").write_text(TASK)
    (tmp_path / "sums.py").write_text(ROWS)
    common = ("--gold", gold, "--model", ADDITION / "model", "--set", "system-prompt=")
    by_harness = evo(
        "init", "harness", "--template", "command", "--eval-command", COMMAND,
        "--eval-files", tmp_path / "sums.yaml", "--eval-files", tmp_path / "sums.py",
        "--set", "eval.read=lm-eval", "--set", "metric.name=exact_match", *common, cwd=tmp_path,
    )  # fmt: skip
    assert by_harness.code == 0, by_harness.err + by_harness.out
    own = ("--scorer", "exact", "--set", "eval.max-new-tokens=6", "--set", "splits.mid=0")
    assert evo("init", "own", *own, *common, cwd=tmp_path).code == 0
    views = {}
    for name in ("harness", "own"):
        answer = evo("run", "exp_0000", cwd=tmp_path / name, timeout=280)
        assert answer.code == 0, answer.err + answer.out
        wrong = evo("failures", "exp_0000", "--limit", "50", cwd=tmp_path / name).data["items"]
        views[name] = answer.data["score"], {item["id"]: item["output"] for item in wrong}
    assert views["harness"][0]["n"] == 32
    assert 0 < views["harness"][0]["mean"] < 1
    assert views["harness"] == views["own"]
    kept = [path for path in (tmp_path / "harness" / ".evo").rglob("*") if path.name in ("work", "logs")]
    assert kept == []
