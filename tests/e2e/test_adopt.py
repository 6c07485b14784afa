"""A checkpoint that was trained elsewhere: checked first, measured like any other, its lineage declared for ever."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from workspaces import SCORE, Answer, evo, make_command_workspace, new, skilled


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_command_workspace(tmp_path / "w")


def checkpoint(folder: Path, skill: float) -> Path:
    folder.mkdir()
    (folder / "skill.txt").write_text(f"{skill}\n")
    return folder


def adopt(workspace: Path, path: Path, *words: str, parent: str = "exp_0000", says: str = "from elsewhere") -> Answer:
    return evo("adopt", path, "--parent", parent, "-m", says, *words, cwd=workspace)


def rows(workspace: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(workspace / ".evo" / "evo.db") as db:
        return db.execute(sql).fetchall()


def test_an_adopted_checkpoint_is_scored_and_certified_and_its_lineage_is_shown(workspace, tmp_path):
    """DESIGN §5: lineage `declared`, shown on every certificate and card, of its descendants too."""
    answer = adopt(workspace, checkpoint(tmp_path / "ck", 0.8), says="trained on the cluster")
    view = answer.data
    assert (view["id"], view["parent"], view["recipe"]["name"]) == ("exp_0001", "exp_0000", "adopted")
    assert view["state"] == "committed"
    assert view["certificate"]["lineage"] == "declared: exp_0001 was adopted"
    assert "declared: exp_0001" in view["message"]
    child = new(workspace, skilled("0.97"), "goes on", "--parent", "exp_0001")
    certified = evo("run", child, cwd=workspace).data
    assert certified["certificate"]["lineage"] == "declared: exp_0001 was adopted"
    assert "declared: exp_0001" in certified["message"]
    for name in ("exp_0001", child):
        card = evo("card", name, cwd=workspace).data["text"]
        assert "**Lineage declared.** exp_0001 was trained elsewhere" in card
        assert "| exp_0001 | declared | adopted |" in card
        assert "exp_0000 | committed" not in card
    assert evo("fsck", cwd=workspace).data["findings"] == []


def test_a_child_that_starts_from_the_base_is_not_of_declared_lineage(workspace, tmp_path):
    assert adopt(workspace, checkpoint(tmp_path / "ck", 0.8)).code == 0
    other = new(workspace, skilled("0.9"), "from the base", "--parent", "exp_0001", "--from-artifact", "exp_0000")
    assert evo("run", other, cwd=workspace).code == 0
    assert "Lineage declared" not in evo("card", other, cwd=workspace).data["text"]


def test_the_weights_are_evos_own_copy(workspace, tmp_path):
    source = checkpoint(tmp_path / "ck", 0.8)
    assert adopt(workspace, source).code == 0
    shutil.rmtree(source)
    output = workspace / ".evo" / "attempts" / "exp_0001" / "1" / "output"
    assert (output / "skill.txt").read_text() == "0.8\n"
    assert evo("export", "1", "--to", tmp_path / "out", cwd=workspace).code == 0
    assert [path.name for path in (workspace / ".evo" / "cache").iterdir() if path.name.startswith("adopt")] == []


def test_adopting_again_gives_the_same_experiment_and_other_words_are_refused(workspace, tmp_path):
    """DESIGN §5: idempotent writes; weights that are in the tree have an experiment already."""
    source = checkpoint(tmp_path / "ck", 0.5)
    first, again = adopt(workspace, source).data, adopt(workspace, source).data
    assert (first["id"], first["score"]) == (again["id"], again["score"])
    assert rows(workspace, "SELECT count(*) FROM attempt WHERE experiment = 'exp_0001'") == [(1,)]
    refused = adopt(workspace, source, says="other words")
    assert (refused.code, "weights of exp_0001" in refused.error["message"]) == (4, True)
    made = new(workspace, skilled("0.7"), "trained here")
    assert evo("run", made, cwd=workspace).code == 0
    copied = shutil.copytree(workspace / ".evo" / "attempts" / made / "1" / "output", tmp_path / "copied")
    assert f"weights of {made}" in adopt(workspace, copied).error["message"]


def test_weights_that_change_nothing_are_refused(workspace, tmp_path):
    """A20, pattern 4: a checkpoint whose difference to parent and base is zero was not trained."""
    source = checkpoint(tmp_path / "ck", 0.5)
    assert adopt(workspace, source).code == 0
    refused = adopt(workspace, source, parent="exp_0001")
    assert (refused.code, "changes nothing" in refused.error["message"]) == (4, True)


def test_an_adopted_experiment_is_not_trained(workspace, tmp_path):
    assert adopt(workspace, checkpoint(tmp_path / "ck", 0.5)).code == 0
    assert "finished before" in evo("run", "1", cwd=workspace).data["message"]
    (workspace / ".evo" / "worktrees" / "exp_0001" / "edit.txt").write_text("an edit")
    assert "finished before" in evo("run", "1", cwd=workspace).data["message"]
    for words in (["--seed", "7"], ["--rerun"]):
        refused = evo("run", "1", *words, cwd=workspace)
        assert (refused.code, "no recipe" in refused.error["message"]) == (4, True)
    step = evo("next", cwd=workspace).data
    assert "--recipe adopted" not in json.dumps(step)


def test_an_evaluation_that_was_cut_off_is_taken_up_without_another_attempt(tmp_path):
    """§2: between training and evaluation an attempt is `trained`; nothing is spent on its evaluation."""
    flag = tmp_path / "broken"
    score = f"import os, sys\nif os.path.exists({str(flag)!r}): sys.exit(9)\n"
    workspace = make_command_workspace(tmp_path / "w", score=score + SCORE)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    flag.touch()
    failed = adopt(workspace, checkpoint(tmp_path / "ck", 0.5))
    assert failed.code == 6
    assert rows(workspace, "SELECT state FROM attempt WHERE experiment = 'exp_0001'") == [("trained",)]
    flag.unlink()
    assert evo("run", "exp_0001", cwd=workspace).data["score"]["mean"] > 0
    assert rows(workspace, "SELECT count(*) FROM attempt WHERE experiment = 'exp_0001'") == [(1,)]


def test_weights_without_a_score_can_be_adopted_again_and_are_never_trained(tmp_path):
    """A checkpoint that the grader cannot read fails; the same words try the evaluation again."""
    workspace = make_command_workspace(tmp_path / "w")
    source = checkpoint(tmp_path / "ck", 0.5)
    (source / "skill.txt").write_text("nan")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    bad = (tmp_path / "score.py").read_text().replace("float(luck < skill)", "0.5 if skill == skill else None")
    (workspace / "score.py").write_text(bad)
    assert adopt(workspace, source).code == 6
    assert evo("show", "1", cwd=workspace).data["state"] == "failed"
    refused = evo("run", "1", cwd=workspace)
    assert (refused.code, "was adopted" in refused.error["message"]) == (4, True)
    assert adopt(workspace, source).code == 6
    assert rows(workspace, "SELECT count(*) FROM attempt WHERE experiment = 'exp_0001'") == [(2,)]


@pytest.mark.parametrize(
    ("path", "parent", "says", "code"),
    [
        ("nowhere", "exp_0000", "x", 3),
        ("empty", "exp_0000", "x", 4),
        ("ck", "exp_0099", "x", 3),
        ("ck", "bogus", "x", 2),
        ("ck", "exp_0000", " ", 2),
        ("ck", "exp_0001", "x", 4),
    ],
)
def test_what_cannot_be_adopted_is_said_before_anything_is_made(workspace, tmp_path, path, parent, says, code):
    (tmp_path / "empty").mkdir()
    checkpoint(tmp_path / "ck", 0.5)
    new(workspace, "argv=true", "pending, and no parent")
    answer = adopt(workspace, tmp_path / path, parent=parent, says=says)
    assert answer.code == code
    assert answer.error["message"]
    assert rows(workspace, "SELECT count(*) FROM experiment") == [(2,)]


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
def test_only_what_fits_the_base_model_is_adopted(tmp_path):
    """§7: shapes and config equal the pinned base, looked at before; of a trainer's folder the weights are taken."""
    pytest.importorskip("peft")
    from publishing import model_workspace, save_base, save_lora
    from tiny_llama import save_model

    workspace = model_workspace(tmp_path / "w", save_base(tmp_path / "base"))
    deeper = adopt(workspace, save_model(tmp_path / "deeper", seed=3, layers=3))
    assert deeper.code == 4
    assert "num_hidden_layers 3, not 2" in deeper.error["message"]
    same = adopt(workspace, shutil.copytree(tmp_path / "base", tmp_path / "same"))
    assert (same.code, "changes nothing" in same.error["message"]) == (4, True)
    adopted = adopt(workspace, save_lora(tmp_path / "lora"))
    assert adopted.code == 0, adopted.out
    kept = {path.name for path in (workspace / ".evo/attempts/exp_0001/1/output").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json"} <= kept
    assert not {"training_args.bin", "README.md"} & kept
    assert rows(workspace, "SELECT id, origin FROM experiment WHERE number > 0") == [("exp_0001", "declared")]
