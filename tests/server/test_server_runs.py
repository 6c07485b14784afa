"""`evo run` in a workspace whose evaluations a warm server answers: one server, and what happens when it is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import standin_vllm
from servers import end, members, other_weights
from tiny_llama import save_model
from workspaces import Answer, evo

from evo.domain.service import ServiceFolder
from evo.evaluate.server.place import has_keeper, state_of

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    """Weights are copied instead of trained: what answers is what this is about."""
    base = save_model(tmp_path / "base", seed=1)
    for name, scale in (("one", 1.3), ("two", 1.6)):
        other_weights(tmp_path / name, base, scale=scale)
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({"prompt": f"{n}+1=", "target": str(n + 1)}) + "\n" for n in range(160)))
    assert evo("init", "ws", "--model", base, "--gold", gold, cwd=tmp_path).code == 0
    root = tmp_path / "ws"
    set_(root, "eval.max-new-tokens", "6")
    set_(root, "isolation.read", json.dumps([str(tmp_path / name) for name in ("one", "two")]))
    yield root
    for folder in (root / ".evo/cache/server").glob("*"):
        end(ServiceFolder(folder))


@pytest.fixture
def python(workspace) -> Path:
    python = standin_vllm.install(workspace.parent / "env")
    set_(workspace, "eval.backend", "vllm")
    set_(workspace, "server.python", str(python))
    return python


def set_(workspace: Path, key: str, value: str) -> None:
    assert evo("config", "set", key, value, cwd=workspace).code == 0


def copying(workspace: Path, name: str) -> str:
    argv = f"cp -r {workspace.parent / name}/. $EVO_CHECKPOINT_DIR"
    words = ["new", "--parent", "exp_0000", "--recipe", "command", "-m", name, "--set", f"argv=sh -c '{argv}'"]
    return str(evo(*words, cwd=workspace).data["id"])


def engine(workspace: Path, experiment: str) -> str:
    summary = workspace / ".evo/attempts" / experiment / "1/eval/summary.json"
    return str(json.loads(summary.read_text())["engine"])


def place_of(workspace: Path) -> ServiceFolder:
    (folder,) = (workspace / ".evo/cache/server").iterdir()
    return ServiceFolder(folder)


def row(workspace: Path) -> dict[str, object]:
    (found,) = [check for check in evo("doctor", cwd=workspace).data["checks"] if check["name"] == "inference server"]
    return dict(found)


def test_the_server_is_kept_from_run_to_run_and_named_by_the_epoch(workspace, python):
    """A11: one server answers for the baseline and every child, each by its own weights."""
    names = [copying(workspace, name) for name in ("one", "two")]
    for name in names:
        assert evo("run", name, cwd=workspace).code == 0
    assert {engine(workspace, name) for name in ("exp_0000", *names)} == {"vllm 0.31.0 torch 2.13.0"}
    assert len(standin_vllm.requests(python, "/start")) == 1
    outputs = {
        json.loads(line)["output"].partition("|")[0]
        for name in ("exp_0000", *names)
        for line in (workspace / ".evo/attempts" / name / "1/eval/results.jsonl").read_text().splitlines()
    }
    assert len(outputs) == 3
    place = place_of(workspace)
    assert (has_keeper(place), state_of(place).state) == (True, "ready"), "it outlives the commands"
    assert row(workspace)["found"] == "vllm 0.31.0, torch 2.13.0: ready"


@pytest.mark.parametrize(("technique", "sees"), [("command", False), ("rft", True)])
def test_only_a_page_that_draws_is_shown_the_servers_folder(workspace, python, technique, sees):
    """Who reaches the socket could have other weights loaded there."""
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    recipe = workspace / "recipes" / "looking"
    recipe.mkdir(parents=True)
    argv = f"sh -c 'ls {place_of(workspace).root}; cp -r {workspace.parent / 'one'}/. $EVO_CHECKPOINT_DIR'"
    (recipe / "recipe.yaml").write_text(
        f"name: looking\ntechnique: {technique}\ndescription: looks\n"
        f"params:\n  argv: {{type: str, default: {json.dumps(argv)}, doc: what is run}}\n"
    )
    (recipe / "train.py").write_text("")
    made = evo("new", "--parent", "exp_0000", "--recipe", "looking", "-m", "looks", cwd=workspace).data["id"]
    ran = evo("run", made, cwd=workspace)
    if ran.data["attempts"][0]["isolation"] != "bwrap":
        pytest.skip("bwrap IS NOT HERE, SO NOBODY KNOWS WHAT IT HIDES")
    log = (workspace / ".evo/attempts" / made / "1/train.log").read_text()
    assert ("keeper.lock" in log) == sees, log


def test_a_server_that_is_lost_makes_a_new_epoch_by_hf_and_costs_no_run(workspace, python):
    name = copying(workspace, "one")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    old = evo("show", "exp_0000", cwd=workspace).data["epoch"]
    standin_vllm.trouble(python, "dies-on-completion")
    ended = evo("run", name, cwd=workspace)
    assert ended.code == 0, ended.err
    warnings = " ".join(ended.document["warnings"])
    assert "the inference server is down, and hf answers in its place: it ended with exit code 9" in warnings
    assert "the evaluation changed (engine: vllm 0.31.0 torch 2.13.0 → hf transformers" in warnings
    shown = [evo("show", which, cwd=workspace).data for which in ("exp_0000", name)]
    assert shown[0]["epoch"] == shown[1]["epoch"] != old
    assert engine(workspace, name).startswith("hf ")
    assert [attempt["outcome"] for attempt in shown[1]["attempts"]] == ["ok"]
    assert len(standin_vllm.requests(python, "/start")) == 2, "the first, its restart, and no more"
    assert members(state_of(place_of(workspace)).session) == set()
    looked = evo("eval", name, "--scratch", cwd=workspace).document
    assert looked["data"]["n"] == shown[1]["score"]["n"]
    assert "hf answers in its place" in looked["warnings"][0]
    failing = row(workspace)
    assert not failing["ok"]
    assert str(failing["fix"]).startswith("rm ")


def test_what_is_missing_is_said_with_the_pip_lines(workspace):
    assert row(workspace)["ok"]
    set_(workspace, "eval.backend", "vllm")
    refused(evo("run", "exp_0000", cwd=workspace), "server.python names no interpreter")
    assert row(workspace)["found"] == "eval.backend is vllm, and server.python names no interpreter"
    old = standin_vllm.install(workspace.parent / "old", version="0.19.1")
    set_(workspace, "server.python", str(old))
    refused(evo("run", "exp_0000", cwd=workspace), "has vllm 0.19.1; evo speaks with 0.22 to 0.32")
    assert "pip install 'vllm>=0.22,<0.33'" in str(row(workspace)["fix"])


def refused(answer: Answer, words: str) -> None:
    assert answer.code == 2
    assert words in answer.error["message"]
    assert "pip install 'vllm" in answer.error["hint"]
