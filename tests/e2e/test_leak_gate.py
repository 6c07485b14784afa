"""The leak gate through the command line: what contaminates, what only warns, and what is taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mutants import Change, make_mutant
from workspaces import evo, evo_here, make_command_workspace

from evo.ops.checks.opened import condemn_late
from evo.session import open_session
from evo.store import experiments

HARMLESS = [{"prompt": f"harmless {n}", "target": "x"} for n in range(5)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_command_workspace(tmp_path_factory.mktemp("leaks") / "ws", n=150)
    assert evo("run", "exp_0000", cwd=root).code == 0
    return root


def rows_of(path: Path) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if not row["id"].startswith("canary")]


def recipe_on(workspace: Path, name: str, *rows: dict, argv: str = "") -> str:
    """A new experiment of a command recipe that declares these rows as its data."""
    (workspace / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = workspace / "recipes" / name
    folder.mkdir(parents=True, exist_ok=True)
    command = argv or "sh -c 'echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt'"
    (folder / "recipe.yaml").write_text(
        f"name: {name}\ntechnique: sft\ndata:\n  train:\n    - source: data/{name}.jsonl\n"
        f'params:\n  argv: {{type: str, default: "{command}"}}\n'
    )
    made = evo("new", "--recipe", name, "-m", name, "--parent", "exp_0000", cwd=workspace)
    return str(made.data["id"])


def test_a29_a_disguised_item_costs_no_compute(workspace: Path, tmp_path: Path) -> None:
    """A29, A20 (1): embedded, it contaminates before any attempt; with the gate off it would have trained."""
    leaked = rows_of(workspace / ".evo/sealed/heldout.jsonl")[0]
    text = {"text": f"It was late. {leaked['prompt'].upper()}? Nobody knew."}
    node = recipe_on(workspace, "leaky", *HARMLESS, text)
    ran = evo("run", node, cwd=workspace)
    assert (ran.code, f"data/leaky.jsonl, line 6: holds heldout item {leaked['id']}" in ran.error["message"]) == (
        5,
        True,
    )
    shown = evo_here(f"show {node} --json", cwd=workspace).data
    assert (shown["state"], shown["attempts"]) == ("contaminated", [])
    told = shown["findings"][0]["evidence"]
    assert (told["file"], told["line"], told["item"]) == ("data/leaky.jsonl", 6, leaked["id"])
    assert leaked["prompt"].lower() not in (ran.out + ran.err + json.dumps(shown)).lower()
    checked = evo_here("data check data/leaky.jsonl --json", cwd=workspace)
    assert (checked.code, checked.document["data"]["blocking"]) == (5, 1)
    blind = make_mutant(
        tmp_path / "blind",
        Change(
            "ops/checks/leaks.py", "    if found := refuse(session, experiment, recipe, data):", "    if found := '':"
        ),
    )
    other = recipe_on(workspace, "leaky2", *HARMLESS, text, {"prompt": "one more", "target": "x"})
    assert blind.evo("run", other, cwd=workspace).code == 0


@pytest.mark.slow
def test_a20_data_from_dev_failures_is_labelled_and_sealed_items_never_are(workspace: Path) -> None:
    """A20 (3): dev items in data that says so expose the node and its descendants; sealed ones contaminate it."""
    dev = rows_of(workspace / "data/dev.jsonl")[0]
    node = recipe_on(workspace, "exposed", *HARMLESS, dev)
    assert evo_here("data register data/exposed.jsonl --parents data/dev.jsonl --json", cwd=workspace).code == 3
    labelled = evo_here("data register data/exposed.jsonl --derived dev --json", cwd=workspace)
    assert labelled.data["derived"] == "dev"
    assert evo("run", node, cwd=workspace).code == 0
    child = evo("new", "--recipe", "exposed", "-m", "below", "--parent", node, cwd=workspace).data["id"]
    assert evo_here(f"show {child} --json", cwd=workspace).data["dev_exposed"] is True
    nodes = evo_here("tree --json", cwd=workspace).data["nodes"]
    assert {row["id"] for row in nodes if row["dev_exposed"]} == {node, child}
    sealed = rows_of(workspace / ".evo/sealed/vault.jsonl")[0]
    worse = recipe_on(workspace, "worse", *HARMLESS, sealed)
    assert evo_here("data register data/worse.jsonl --derived dev --json", cwd=workspace).code == 0
    assert evo("run", worse, cwd=workspace).code == 5


@pytest.mark.slow
def test_tolerance_is_recorded(workspace: Path) -> None:
    dev = rows_of(workspace / "data/dev.jsonl")[1]
    node = recipe_on(workspace, "tolerated", *HARMLESS, dev)
    assert evo("config", "set", "leaks.allow", json.dumps([dev["id"]]), cwd=workspace).code == 0
    try:
        assert evo("run", node, cwd=workspace).code == 0
    finally:
        assert evo("config", "unset", "leaks.allow", cwd=workspace).code == 0
    found = evo_here(f"show {node} --json", cwd=workspace).data["findings"]
    assert [(entry["kind"], entry["severity"]) for entry in found if entry["source"] == "leaks"] == [
        ("allowed", "warn")
    ]


@pytest.mark.slow
def test_what_is_retracted_is_flagged_wherever_it_went(workspace: Path) -> None:
    """Provenance: rows link experiments to files; a second retraction changes nothing; it is trained on no more."""
    node = recipe_on(workspace, "taken", *HARMLESS, {"prompt": "to be taken back", "target": "x"})
    assert evo("run", node, cwd=workspace).code == 0
    child = evo("new", "--recipe", "taken", "-m", "child", "--parent", node, cwd=workspace).data["id"]
    first = evo("data", "retract", "data/taken.jsonl", "--reason", "licence", cwd=workspace).data
    assert (first["changed"], first["experiments"]) == (True, [node, child])
    assert evo("data", "retract", first["sha256"][:12], cwd=workspace).data["changed"] is False
    for each in (node, child):
        found = evo_here(f"show {each} --json", cwd=workspace).data["findings"]
        assert ("retracted", "block") in [(entry["kind"], entry["severity"]) for entry in found]
    listed = evo_here("data status --json", cwd=workspace).data["datasets"]
    assert "licence" in [row["retracted"] for row in listed if row["path"] == "data/taken.jsonl"]
    assert evo("run", child, cwd=workspace).code == 4
    assert evo("data", "retract", "nothing.jsonl", cwd=workspace).code == 3


@pytest.mark.slow
def test_a_retraction_voids_the_certificate(tmp_path: Path) -> None:
    """D15, A20 (3): committed by a real gate, open once its data is taken back; who knows no parents keeps its own."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    better = "sh -c 'echo 0.95 > $EVO_CHECKPOINT_DIR/skill.txt'"
    node = recipe_on(workspace, "good", *HARMLESS, argv=better)
    ran = evo("run", node, cwd=workspace).data
    assert (ran["state"], ran["certificate"]["passed"]) == ("committed", True)
    taken = evo("data", "retract", "data/good.jsonl", "--reason", "licence", cwd=workspace).data
    assert taken["experiments"] == [node]
    shown = evo_here(f"show {node} --json", cwd=workspace).data
    assert (shown["state"], shown["score"] is not None) == ("open", True)
    assert evo("release", cwd=workspace).code == 4
    assert evo("certify", node, cwd=workspace).code != 0
    assert evo_here("show exp_0000 --json", cwd=workspace).data["state"] == "committed"


def test_a_file_that_a_run_opened_is_a_late_finding(workspace: Path, tmp_path: Path) -> None:
    """A20 (1): contaminated after all, the score on record; cleaning the file does not clean the weights."""
    leaked = rows_of(workspace / ".evo/sealed/heldout.jsonl")[1]
    aside = tmp_path / "aside.jsonl"
    aside.write_text(json.dumps({"q": leaked["prompt"]}) + "\n")
    node = recipe_on(workspace, "peeks", *HARMLESS, {"prompt": "peeking", "target": "x"})
    assert evo("run", node, cwd=workspace).code == 0
    with open_session(workspace) as session:
        listing = session.layout.attempt(node, 1).root / "opened.json"
        listing.write_text(json.dumps({"files": [str(aside), "data/peeks.jsonl", "/etc/hosts"], "complete": True}))
        refused = condemn_late(session, experiments.get(session.db, node), 1)
    assert refused is not None
    assert f"line 1: holds heldout item {leaked['id']}" in refused.message
    shown = evo_here(f"show {node} --json", cwd=workspace).data
    assert (shown["state"], shown["score"] is not None) == ("contaminated", True)
    aside.write_text("{}\n")
    assert evo("restore", node, cwd=workspace).code == 5
