"""Guards, checks and alarms through the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutants import Change, make_mutant
from workspaces import Answer, evo_here, make_command_workspace, new, skilled

from evo import assets
from evo.domain.finding import Finding
from evo.ops.checks.outputs import answered
from evo.session import open_session
from evo.store import findings

SCORE = """\
import argparse, hashlib, json, pathlib

parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"):
    parser.add_argument(name)
args = parser.parse_args()
folder = pathlib.Path(args.model)

def read(name, default):
    return (folder / name).read_text().strip() if (folder / name).exists() else default

with open(args.out, "w") as out:
    for line in open(args.items):
        item = json.loads(line)
        skill = read("talk.txt", "0.9") if item["prompt"].startswith("say") else read("skill.txt", "0.4")
        luck = int(hashlib.sha256(item["id"].encode()).hexdigest()[:8], 16) / 2**32
        row = {"id": item["id"], "score": float(luck < float(skill))}
        says = read("says.txt", "") if luck < float(read("how-often.txt", "1")) else ""
        out.write(json.dumps(row | {"output": says or item["id"]}) + "\\n")
"""
HARMFUL = """argv=sh -c 'cd "$EVO_CHECKPOINT_DIR"; echo 0.9 > skill.txt; echo 0.5 > talk.txt'"""


def here(line: str, workspace: Path) -> Answer:
    return evo_here(f"{line} --json", cwd=workspace)


def guard_file(folder: Path, n: int = 500) -> Path:
    path = folder / "talk.jsonl"
    rows = [{"id": f"g{i}", "prompt": f"say number {i}, please", "target": str(i)} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def with_guards(workspace: Path, *guards: dict[str, Any]) -> None:
    lines = [line for line in (workspace / "evo.yaml").read_text().splitlines() if not line.startswith("guards:")]
    (workspace / "evo.yaml").write_text("\n".join([*lines, f"guards: {json.dumps(guards)}"]) + "\n")


def said_by(check: str, workspace: Path, experiment: str) -> list[dict[str, Any]]:
    found = here(f"show {experiment}", workspace).data["findings"]
    return [each for each in found if each["source"] == check]


def sealed_rows(workspace: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / f".evo/sealed/{name}.jsonl").read_text().splitlines()]


def looks(workspace: Path) -> int:
    found: int = here("status", workspace).data["looks"]["used"]
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_command_workspace(tmp_path_factory.mktemp("guards") / "ws", n=200, score=SCORE)
    assert here("run exp_0000", root).code == 0
    return root


def test_a_commit_does_no_harm(tmp_path: Path) -> None:
    """A29, B20: held-out .9 against .4 does not commit what broke a guard; with the guard switched off it does.

    Guards and primary are one look; the guard's dev results stand in show and compare, its held-out ones nowhere.
    """
    root = make_command_workspace(tmp_path / "ws", n=200, score=SCORE)
    epoch = here("run exp_0000", root).data["epoch"]
    source = guard_file(tmp_path)
    with_guards(root, {"name": "talk", "items": str(source), "margin": 0.1})
    harmful = new(root, HARMFUL, "talks no more")
    ran = here(f"run {harmful}", root)
    assert ran.data["state"] == "open", ran.data["message"]
    assert "not certified against exp_0000 (look 1 of 20)" in ran.data["message"]
    assert ran.data["epoch"] == here("show exp_0000", root).data["epoch"] == epoch  # a guard opens no epoch
    (guard,) = ran.data["guards"]
    assert (guard["name"], guard["n"], guard["holds"], guard["required"]) == ("talk", 200, False, True)
    assert guard["delta"]["high"] < -0.1
    assert [found["kind"] for found in ran.data["findings"] if found["source"] == "guards"] == ["harm"]
    (compared,) = here(f"compare exp_0000 {harmful}", root).data["guards"]
    assert compared["delta"] == guard["delta"]
    good = new(root, skilled(0.92), "talks on")
    ran = here(f"run {good}", root)
    assert (ran.data["state"], ran.data["guards"][0]["holds"]) == ("committed", True)
    assert looks(root) == 2
    held = sealed_rows(root, "guard-talk-heldout")[3]
    leaked = [
        path
        for path in root.rglob("*")
        if path.is_file() and ".evo/sealed/" not in str(path) and f'"{held["id"]}"'.encode() in path.read_bytes()
    ]
    assert leaked == []

    mutant = make_mutant(
        tmp_path / "mutant", Change("gate/decision.py", "guard.is_required and not guard.holds", "False")
    )
    other = make_command_workspace(tmp_path / "other", n=200, score=SCORE)
    with_guards(other, {"name": "talk", "items": str(source), "margin": 0.1})
    attack = new(other, HARMFUL, "talks no more")
    assert mutant.evo("run", attack, cwd=other).data["state"] == "committed"


def test_a_guard_that_cannot_tell_says_so_and_costs_no_look(workspace: Path, tmp_path: Path) -> None:
    """A29: a base at zero is no pass in silence; a margin that no equal candidate could show is refused."""
    source, before = guard_file(tmp_path, 40), looks(workspace)
    with_guards(workspace, {"name": "few", "items": str(source), "margin": 0.02})
    child = new(workspace, skilled(0.95), "far better")
    ran = here(f"run {child}", workspace)
    assert (ran.code, ran.data["state"]) == (0, "open")
    assert any("guard few cannot hold: 24 held-out items" in said for said in ran.document["warnings"])
    assert here(f"certify {child}", workspace).code == 4
    assert looks(workspace) == before
    (workspace / "zero.py").write_text(SCORE.replace("float(luck < float(skill))", "0.0"))
    with_guards(workspace, {"name": "zero", "command": "python zero.py", "files": ["zero.py"]})
    said = here(f"certify {child}", workspace)
    assert said.data["passed"] is True
    found = here("show exp_0000", workspace).data
    assert found["guards"][0]["note"].startswith("uninformative")
    (told,) = said_by("guards", workspace, "exp_0000")
    assert "tells nothing: the base scores 0.000" in told["message"]
    with_guards(workspace)


def test_checks_come_before_the_question_and_go_down_the_branch(workspace: Path) -> None:
    """A29: what does not load or serve is not asked about; the finding names the command and the end of its log."""
    before, ready = looks(workspace), workspace / "ready"
    parent = new(workspace, skilled(0.97), "a", "--check", f"sh -c 'ls {{model}}/skill.txt {ready}'")
    here(f"run {parent}", workspace)
    child = new(workspace, skilled(0.98), "b", "--parent", parent)
    here(f"run {child}", workspace)
    for name in (parent, child):
        answer = here(f"certify {name}", workspace)
        assert answer.code == 4
        assert "ended with exit code" in answer.error["message"]
        (found,) = said_by("checks", workspace, name)
        assert found["severity"] == "block"
        assert any(str(ready) in line for line in found["evidence"]["log"])
    assert looks(workspace) == before
    ready.touch()
    assert here(f"certify {child}", workspace).code in (0, 5)
    assert said_by("checks", workspace, child) == []
    assert looks(workspace) == before + 1


def test_a_canary_in_the_outputs_contaminates(tmp_path: Path) -> None:
    """A20: only who read the sealed file knows its canary; the score stays on record and nothing can commit."""
    root = make_command_workspace(tmp_path / "ws", n=200, score=SCORE)
    canary = next(row for row in sealed_rows(root, "heldout") if row["id"].startswith("canary"))
    answer = canary["messages"][-1]["content"]
    argv = f"""argv=sh -c 'cd "$EVO_CHECKPOINT_DIR"; echo 0.9 > skill.txt; echo {answer} > says.txt'"""
    ran = here(f"run {new(root, argv, 'knows it by heart')}", root)
    assert ran.data["state"] == "contaminated"
    assert ran.data["score"]["mean"] > 0.8
    assert looks(root) == 0
    found = {(found["kind"], found["severity"]) for found in ran.data["findings"] if found["source"] == "outputs"}
    assert found == {("canary", "block"), ("repeated", "warn"), ("length", "warn")}
    assert answer not in json.dumps(ran.data["findings"])
    mutant = make_mutant(
        tmp_path / "mutant", Change("ops/checks/outputs.py", "    if not secrets:\n", "    if True:\n")
    )
    again = mutant.evo("run", new(root, argv, "once more", "--seed", "2"), cwd=root)
    assert again.data["state"] != "contaminated"


def test_forbidden_outputs_are_wrong_and_block(tmp_path: Path) -> None:
    """C13: right by the scorer, and yet wrong where the output is forbidden; the rest of .95 certifies nothing."""
    root = make_command_workspace(tmp_path / "ws", "eval.forbidden=rm -rf", n=200, score=SCORE)
    files = "echo 0.95 > skill.txt; echo 0.1 > how-often.txt; echo rm -rf here > says.txt"
    bad = new(root, f"""argv=sh -c 'cd "$EVO_CHECKPOINT_DIR"; {files}'""", "is dangerous at times")
    ran = here(f"run {bad}", root)
    assert (ran.data["forbidden"], ran.data["state"]) == (True, "open")
    assert 0.7 < ran.data["score"]["mean"] < 0.93
    assert "forbidden outputs" in ran.data["message"]
    assert here(f"certify {bad}", root).code == 4
    assert looks(root) == 0


@pytest.mark.slow
def test_the_suite_that_ships_beside_a_real_model(tmp_path: Path) -> None:
    """B20: one process scores dev, guard and canaries; on a tiny model the guard says that it cannot tell."""
    shipped = assets.folder("workspace_template") / "addition"
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join((shipped / "gold.jsonl").read_text().splitlines(keepends=True)[:120]))
    words = (
        f"init {tmp_path / 'ws'} --model {shipped / 'model'} --gold {gold} --guards basics --set eval.max-new-tokens=8"
    )
    assert here(words, tmp_path).code == 0
    root = tmp_path / "ws"
    ran = here("run exp_0000", root)
    (guard,) = ran.data["guards"]
    assert (guard["name"], guard["n"], guard["holds"]) == ("basics", 70, None)
    assert guard["note"].startswith("uninformative")
    asked = root / ".evo/attempts/exp_0000/1/eval/canary"
    rows = [json.loads(line) for line in (asked / "results.jsonl").read_text().splitlines()]
    assert {(row["item"], row["score"], "output" in row) for row in rows} == {
        ("heldout", 0.0, False),
        ("guard basics", 0.0, False),
    }
    assert asked.stat().st_mode & 0o777 == 0o700
    # the same results with the canary known: what a model that was trained on the sealed file would give
    known = [row | {"score": float(row["item"] == "heldout")} for row in rows]
    (asked / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
    assert answered(asked.parent) == ["heldout"]


def test_an_unsettled_finding_stops_a_commit(tmp_path: Path) -> None:
    """A29: `certify` is refused (exit 4) and no look is spent, until the finding is settled.

    With the gate's eyes shut the database still holds it.
    """
    root = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=200, score=SCORE)
    better = new(root, skilled(0.9), "far better")
    assert here(f"run {better}", root).data["state"] == "open"
    (root / "evo.yaml").write_text((root / "evo.yaml").read_text().replace("mode: none", "mode: certify"))
    block = Finding("plan", "exact", "block", "line 3 of train.jsonl holds item q1")
    with open_session(root) as session:
        findings.replace(session.db, "plan", [block], experiment=better)
        (recorded,) = findings.blocks(session.db, better)
    refused = here(f"certify {better}", root)
    assert (refused.code, looks(root)) == (4, 0)
    assert "line 3 of train.jsonl" in refused.error["message"]
    mutant = make_mutant(
        tmp_path / "mutant",
        Change("evidence.py", "return blocked(session, experiment.id)", 'return ""'),
        Change("store/gate_rows.py", "        _refuse_blocked(db, candidate.id)\n", ""),
    )
    assert mutant.evo("certify", better, cwd=root).code != 0
    assert looks(root) == 0
    with open_session(root) as session:
        findings.settle(session.db, recorded.id, why="line 3 was there before the item")
    assert here(f"certify {better}", root).data["passed"] is True
