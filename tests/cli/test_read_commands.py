"""What scripts rely on in the read commands: shapes, exit codes, hints that parse, and bytes that stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main
from reading import SECRET, reading_workspace
from typer._click import exceptions

from evo.cli import app
from evo.cli.commands import BY_NAME
from evo.workspace.layout import Layout

READS = [
    "status", "tree", "tree --from 1 --depth 1 --limit 2", "show 0", "show 1", "show 2", "show 3", "show 4", "show 5",
    "show 6", "show 7", "show 8", "show 9", "compare 1 2", "compare 0 1", "frontier", "frontier --policy thompson -k 3",
    "frontier --policy pareto-per-item", "next", "diff 2", "diff 1 --stat", "diff 2 --against 0", "log", "log 3",
    "log --tail 3",
    "failures 2", "failures 2 --slice odd --limit 2", "path 6", "discards",
    "diagnose", "diagnose 2", "notes", "notes 2", "completion bash",
]  # fmt: skip
SHAPES = {
    "show 1": {
        "id", "parent", "state", "hypothesis", "recipe", "score", "delta", "attempts", "certificate", "epoch", "cost",
    },
    "status": {"experiments", "states", "best", "committed", "looks", "running", "stale"},
    "tree": {"nodes", "truncated"},
    "frontier": {"policy", "picks"},
    "failures 2": {"items"},
}  # fmt: skip
PARTS = {
    ("show 1", "recipe"): {"name", "technique", "params"},
    ("show 1", "score"): {"mean", "se", "n"},
    ("show 1", "delta"): {"mean", "low", "high"},
    ("show 1", "attempts"): {"n", "seed", "outcome", "class", "seconds", "isolation"},
    ("show 1", "certificate"): {"against", "passed", "look", "mode"},
    ("show 1", "cost"): {"gpu_seconds", "wall_seconds"},
    ("status", "looks"): {"used", "limit"},
    ("tree", "nodes"): {"id", "parent", "state", "score", "hypothesis", "recipe"},
    ("frontier", "picks"): {"id", "value", "mean", "sd"},
    ("failures 2", "items"): {"id", "slice", "input", "expected", "output", "score"},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_workspace(tmp_path_factory.mktemp("read"))


@pytest.fixture
def workspace(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(built)
    os.utime(Layout(built).attempt("exp_0006", 1).heartbeat)
    return built


def asked(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and envelope of one command; fails on anything that is not exactly one strict JSON document."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in the JSON of evo {words}")

    code = app.run([*shlex.split(words), "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return code, document


@pytest.mark.parametrize("words", READS)
def test_one_strict_document_and_hints_that_parse(
    words: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = asked(words, capsys)
    assert (code, document["schema"], document["ok"]) == (0, "evo/1", True)
    assert isinstance(document["data"], dict)
    for hint in document["next"]:
        program, name, *rest = shlex.split(hint["cmd"])
        assert program == "evo"
        assert hint["why"]
        assert_parses(name, rest)


def assert_parses(name: str, words: list[str]) -> None:
    """Parse without running."""
    leaf = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[name].module}").app)
    try:
        leaf.make_context(f"evo {name}", list(words))
    except exceptions.ClickException as error:
        pytest.fail(f"evo {name} {words}: {error.format_message()}")


@pytest.mark.parametrize("words", SHAPES)
def test_fields_that_scripts_rely_on(words: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = asked(words, capsys)[1]["data"]
    assert set(data) >= SHAPES[words]
    for (command, field), keys in PARTS.items():
        if command == words:
            value = data[field]
            assert set(value[0] if isinstance(value, list) else value) >= keys, field


def test_status_tells_the_running_from_the_quiet(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """§10: heartbeats make a dead attempt known, and `evo status` names it."""
    data = asked("status", capsys)[1]["data"]
    assert [entry["id"] for entry in data["running"]] == ["exp_0006"]
    assert [entry["id"] for entry in data["stale"]] == ["exp_0007"]
    assert data["trained"] == ["exp_0008"]
    assert data["states"] == {
        "pending": 4, "open": 2, "committed": 2, "failed": 1, "contaminated": 0, "discarded": 1,
    }  # fmt: skip
    nodes = {node["id"]: node for node in asked("tree", capsys)[1]["data"]["nodes"]}
    assert [name for name, node in nodes.items() if node["running"]] == ["exp_0006"]
    assert nodes["exp_0009"]["old_epoch"]


@pytest.mark.parametrize("command", ["show", "diff", "log", "failures", "path", "notes", "note", "tree --from"])
def test_unknown_and_impossible_experiments(command: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """§12: no path outside the workspace is read through an id; a name that is not there gets the nearest ones."""
    tail = " text" if command == "note" else ""
    before = fingerprint(workspace)
    code, document = asked(f"{command} 12{tail}", capsys)
    assert (code, document["error"]["code"]) == (3, "not_found")
    assert "exp_0009" in document["error"]["hint"]
    for bad in ("../x", "exp_0001/../../sealed", "exp_", "−1"):
        code, document = asked(f"{command} '{bad}'{tail}", capsys)
        assert (code, document["error"]["code"]) == (2, "usage"), bad
        assert bad in document["error"]["message"]
    assert fingerprint(workspace) == before


def test_scores_of_different_epochs_are_not_compared(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """§12: old-epoch scores compared with new ones."""
    code, document = asked("compare 1 9", capsys)
    assert (code, document["error"]["hint"]) == (4, "evo rescore exp_0009")
    assert asked("show 9", capsys)[1]["data"]["delta"] is None
    assert asked("compare 1 5", capsys)[0] == 4


def test_reading_changes_no_byte(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """§12: a read command that writes."""
    before = fingerprint(workspace)
    for words in READS:
        assert app.run(shlex.split(words)) == 0, words
    capsys.readouterr()
    assert fingerprint(workspace) == before


def fingerprint(root: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time of change and content of everything under `root`.

    Of folders no time: SQLite lays its two helper files beside the database while it reads, and takes them away.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(root))] = (facts.st_mode, 0 if path.is_dir() else facts.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_of_held_out_is_shown(as_json: bool, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """§7: one bit and the number of looks; also when a run has put a link to the items into its log's place."""
    layout = Layout(workspace)
    log = layout.attempt("exp_0003", 1).train_log
    kept = log.read_text()
    metrics = layout.attempt("exp_0002", 1).metrics
    points = metrics.read_text()
    for path in (log, metrics):
        path.unlink()
        path.symlink_to(layout.sealed / "heldout.jsonl")
    try:
        for words in READS:
            app.run([*shlex.split(words), *(["--json"] if as_json else [])])
        said = capsys.readouterr()
    finally:
        for path, text in ((log, kept), (metrics, points)):
            path.unlink()
            path.write_text(text)
    assert "exp_0001" in said.out
    assert SECRET not in said.out + said.err
    certificates = re.findall(r'"certificate": \{[^}]*\}', said.out)
    for certificate in certificates:
        fields = set(json.loads(certificate.partition(": ")[2]))
        assert fields == {"against", "passed", "look", "mode", "isolation", "void", "lineage"}
    assert not as_json or certificates
