"""A real inspect task on the demo's tiny model, called by its own command line, its log read as the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import evo

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: pip install 'evo-tree[eval]'")
pytest.importorskip("torch")

ADDITION = Path(__file__).parents[2] / "workspace_template" / "addition"
TASK = """\
import json

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import exact, includes
from inspect_ai.solver import generate


@task
def sums(items: str):
    rows = [json.loads(line) for line in open(items)]
    samples = [
        Sample(id=row["id"], input=row["messages"][0]["content"], target=row["messages"][1]["content"]) for row in rows
    ]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=[exact(), includes()])
"""
COMMAND = (
    "inspect eval sums.py --model hf/local -M model_path={model} -M device=cpu -M do_sample=false"
    " -T items={items} --max-tokens 6 --display none"
)


@pytest.mark.slow
def test_the_log_of_a_real_inspect_task_gives_what_evos_own_evaluation_gives(tmp_path):
    """§6, §7: item for item, the benchmark's own entry point agrees with backend hf on the same weights."""
    gold = tmp_path / "gold.jsonl"
    lines = (ADDITION / "gold.jsonl").read_text().splitlines()[:64]
    gold.write_text("".join(line + "\n" for line in lines))
    (tmp_path / "sums.py").write_text(TASK)
    common = ("--gold", gold, "--model", ADDITION / "model", "--set", "system-prompt=")
    by_inspect = evo(
        "init", "inspected", "--template", "command", "--eval-command", COMMAND, "--eval-files", tmp_path / "sums.py",
        "--set", "eval.read=inspect", "--set", "metric.name=exact", *common, cwd=tmp_path,
    )  # fmt: skip
    assert by_inspect.code == 0, by_inspect.err
    own = ("--scorer", "exact", "--set", "eval.max-new-tokens=6", "--set", "splits.mid=0")
    assert evo("init", "own", *own, *common, cwd=tmp_path).code == 0
    views = {}
    for name in ("inspected", "own"):
        answer = evo("run", "exp_0000", cwd=tmp_path / name, timeout=280)
        assert answer.code == 0, answer.err
        wrong = evo("failures", "exp_0000", "--limit", "50", cwd=tmp_path / name).data["items"]
        views[name] = answer.data["score"], {item["id"]: item["output"] for item in wrong}
    assert views["inspected"][0]["n"] == 32
    assert 0 < views["inspected"][0]["mean"] < 1
    assert views["inspected"] == views["own"]
    kept = [path for path in (tmp_path / "inspected" / ".evo").rglob("*") if path.name in ("work", "logs")]
    assert kept == []
    assert json.loads(next((tmp_path / "inspected").rglob("eval/summary.json")).read_text())["n"] == 32
