"""The gate through the command line: modes, the budget of looks, clusters, small gold sets, the vault."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from workspaces import SCORE, evo, make_command_workspace, new, skilled


def with_clusters(folder: Path, n: int, *, clusters: int) -> Path:
    """A workspace whose gold items belong to that many clusters."""
    rows = [
        {"id": f"q{i}", "prompt": f"question {i}", "target": str(i), "cluster": f"c{i % clusters}"} for i in range(n)
    ]
    gold = folder / "gold.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "score.py").write_text(SCORE)
    made = evo(
        "init", folder / "ws", "--gold", gold, "--eval-command", "python score.py", "--eval-files", folder / "score.py",
        cwd=folder,
    )  # fmt: skip
    assert made.code == 0, made.out
    return folder / "ws"


def test_a_cluster_stays_in_one_split_and_five_are_needed(tmp_path: Path) -> None:
    """§8: a clustered test needs five clusters; fewer certify nothing, whatever the gain."""
    for clusters, passes in ((6, False), (60, True)):
        folder = tmp_path / str(clusters)
        folder.mkdir()
        workspace = with_clusters(folder, 240, clusters=clusters)
        splits = [workspace / "data/dev.jsonl", *(workspace / ".evo/sealed").glob("*.jsonl")]
        found = [set(re.findall(r'"cluster": "(\w+)"', path.read_text())) for path in splits]
        assert sum(map(len, found)) == len(set.union(*found)) == clusters
        node = new(workspace, skilled(0.99), "far better", "--parent", "exp_0000")
        ran = evo("run", node, cwd=workspace).data
        assert (ran["certificate"]["passed"], ran["state"]) == (passes, "committed" if passes else "open")


def test_a_small_gold_set_has_no_vault_and_says_so(tmp_path: Path) -> None:
    """§7: under 150 gold items dev and held-out are halves, and `release` reports "reused, k looks"."""
    workspace = make_command_workspace(tmp_path / "ws", n=120)
    splits = evo("data", "status", cwd=workspace).data["splits"]
    assert (splits["dev"], splits["heldout"], "vault" in splits) == (60, 60, False)
    assert evo("release", cwd=workspace).code == 4  # nothing but the baseline is committed
    node = new(workspace, skilled(0.95), "better", "--parent", "exp_0000")
    assert evo("run", node, cwd=workspace).data["state"] == "committed"
    released = evo("release", cwd=workspace).data
    assert re.search(r"reused, 1 look", released["vault"]["source"])
    assert released["vault"]["n"] == 60


def test_the_vault_is_opened_once(tmp_path: Path) -> None:
    """§5: a second call, also about another experiment, returns the stored number and evaluates nothing."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    node = new(workspace, skilled(0.54), "5 of 45 gained, none lost", "--parent", "exp_0000")
    assert evo("run", node, cwd=workspace).data["state"] == "committed"
    assert not list((workspace / ".evo/sealed/results").glob("vault*"))
    first = evo("release", cwd=workspace).data
    (workspace / "score.py").write_text("raise SystemExit('it was evaluated again')")
    for words in ([], ["exp_0000"]):
        again = evo("release", *words, cwd=workspace).data
        assert (again["id"], again["vault"], again["opened_now"]) == (node, first["vault"], False)


def test_every_run_asks_after_each_run_and_knows_no_budget(tmp_path: Path) -> None:
    """§8: `gate.mode: every-run`, the rule of the older tools; the wear is shown."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=every-run", "gate.looks=1", n=150)
    for look, skill in enumerate((0.2, 0.3, 0.95), start=1):
        ran = evo("run", new(workspace, skilled(skill), f"skill {skill}", "--parent", "exp_0000"), cwd=workspace).data
        assert (ran["certificate"]["look"], ran["certificate"]["mode"]) == (look, "every-run")
        assert ran["certificate"]["passed"] == (skill == 0.95)
    assert evo("status", cwd=workspace).data["looks"]["used"] == 3


def test_strict_asks_for_more(tmp_path: Path) -> None:
    """§8: the first ask is judged at α/(2Q) = .00125: 5 of 45 items gained and none lost, p .0156, are not enough."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=strict", n=150)
    for skill, passes in ((0.54, False), (0.95, True)):
        node = new(workspace, skilled(skill), f"skill {skill}", "--parent", "exp_0000")
        ran = evo("run", node, cwd=workspace).data
        assert (ran["certificate"]["mode"], ran["certificate"]["passed"]) == ("strict", passes)


def test_a_denied_question_is_remembered_and_the_budget_binds(tmp_path: Path) -> None:
    """§8: exit 5 for a no, 4 for a repeat, 8 when the looks are spent; a run is kept all the same."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.looks=1", n=150)
    worse = new(workspace, skilled(0.35), "worse", "--parent", "exp_0000")
    assert evo("run", worse, cwd=workspace).data["certificate"] is None  # dev does not ask for it
    denied = evo("certify", worse, cwd=workspace)
    assert (denied.code, denied.document["data"]["passed"]) == (5, False)
    assert evo("certify", worse, cwd=workspace).code in (4, 8)
    best = new(workspace, skilled(0.95), "far better", "--parent", "exp_0000")
    ran = evo("run", best, cwd=workspace)
    assert (ran.code, ran.data["state"], "looks" in ran.data["message"]) == (0, "open", True)
    spent = evo("certify", best, cwd=workspace)
    assert (spent.code, spent.error["code"]) == (8, "budget")
    assert evo("status", cwd=workspace).data["looks"] == {"used": 1, "limit": 1}


def test_only_passed_and_look_leave_the_gate(tmp_path: Path) -> None:
    """§7: before `release` no view, and no file outside the seal, log and database included, holds a held-out item."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    node = new(workspace, skilled(0.9), "better", "--parent", "exp_0000")
    ran = evo("run", node, cwd=workspace)
    assert ran.data["certificate"]["passed"]
    sealed = [json.loads(line)["prompt"] for line in (workspace / ".evo/sealed/heldout.jsonl").read_text().splitlines()
              if "prompt" in json.loads(line)]  # fmt: skip
    said = [evo(*line.split(), cwd=workspace).out for line in (f"show {node}", "status", "tree", "log", "fsck",
            f"failures {node} --limit 500", f"compare exp_0000 {node}", "data status")]  # fmt: skip
    places = [path for path in workspace.rglob("*") if path.is_file() and ".evo/sealed" not in str(path)]
    texts = [ran.out, *said, *(path.read_bytes().decode(errors="replace") for path in places)]
    assert len(sealed) == 45
    for text in texts:
        assert not [prompt for prompt in sealed if prompt in text]


@pytest.mark.parametrize("words", [["--heldout"], ["--heldout", "--vault"]])
def test_splits_by_name(tmp_path: Path, words: list[str]) -> None:
    """`--dev F --heldout F [--vault F]`: items that somebody has split already, sealed as they are."""
    (tmp_path / "score.py").write_text(SCORE)
    files = []
    for number, option in enumerate(["--dev", *words]):
        rows = [{"prompt": f"question {number} {i}", "target": str(i)} for i in range(40)]
        path = tmp_path / f"{option[2:]}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files += [option, path]
    made = evo("init", "ws", *files, "--eval-command", "python score.py", "--eval-files", "score.py", cwd=tmp_path)
    assert made.code == 0, made.out
    assert made.data["splits"] == {"dev": 40, "heldout": 40, "vault": 40 * (len(words) - 1)}
    assert len(made.document["warnings"]) == len(words)
