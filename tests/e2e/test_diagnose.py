"""`evo diagnose` through the command line: what fires, what is held back, and what lets it go."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mutants import Change, make_mutant
from workspaces import SCORE, Answer, evo, make_command_workspace, skilled

from evo import assets
from evo.domain.finding import Finding
from evo.store import db as database
from evo.store import findings

RECIPE = 'name: {name}\ntechnique: {technique}\nparams: {{argv: {{type: str, default: ""}}}}\n'


def write_recipe(workspace: Path, name: str, technique: str = "") -> None:
    folder = workspace / "recipes" / name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(name=name, technique=technique or name))


def branch(workspace: Path, recipe: str, skill: float, *words: str) -> Answer:
    setting = f"{skilled(skill)} # {recipe} {' '.join(words)}"
    return evo("new", "--recipe", recipe, "--parent", "exp_0000", "--set", setting, "-m", "try it", cwd=workspace)


def ran(workspace: Path, recipe: str, skill: float, *words: str) -> str:
    node: str = branch(workspace, recipe, skill, *words).data["id"]
    assert evo("run", node, cwd=workspace).code == 0
    return node


def kinds(answer: Answer) -> list[str]:
    return [found["kind"] for found in answer.data["findings"]]


def digest(workspace: Path) -> str:
    return hashlib.sha256((workspace / ".evo" / "evo.db").read_bytes()).hexdigest()


def test_a_fourth_technique_waits_until_somebody_has_looked(tmp_path: Path) -> None:
    """A19: three techniques at one score hold the fourth back, in `new` and in `run`, until `--ack`; not the three."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=120)
    for name in ("alpha", "beta", "gamma", "delta"):
        write_recipe(workspace, name)
    for name in ("alpha", "beta"):
        ran(workspace, name, 0.6)
    assert kinds(evo("diagnose", cwd=workspace)) == []
    ran(workspace, "gamma", 0.6)
    refused = branch(workspace, "delta", 0.7)
    assert (refused.code, refused.error["code"]) == (4, "refused")
    assert "delta is held back: alpha, beta, gamma" in refused.error["message"]
    assert branch(workspace, "alpha", 0.65).code == 0, "what was tried goes on"

    blind = make_mutant(tmp_path / "mutant", Change("ops/checks/hold.py", "if _holding(session) is None:", "if True:"))
    words = ["new", "--recipe", "delta", "--parent", "exp_0000", "--set", skilled(0.7), "-m", "without the guard"]
    planted = blind.evo(*words, cwd=workspace)
    assert planted.code == 0, "without the guard the fourth technique is made"
    fourth = planted.data["id"]
    stopped = evo("run", fourth, cwd=workspace)
    assert (stopped.code, "held back" in stopped.error["message"]) == (4, True)
    assert evo("show", fourth, cwd=workspace).data["attempts"] == []

    assert [found["kind"] for found in evo("status", cwd=workspace).data["diagnoses"]] == ["same-score"]
    steps = [step["cmd"] for step in evo("next", cwd=workspace).document["next"]]
    assert "evo diagnose --ack same-score" in steps
    before = digest(workspace)
    looked = evo("diagnose", cwd=workspace)
    assert digest(workspace) == before, "looking writes nothing"
    assert (kinds(looked), len(looked.data["sides"]["evaluation"])) == (["same-score"], 3)
    settled = evo("diagnose", "--ack", "same-score", "--why", "luck is fixed here", cwd=workspace).data
    assert settled["acknowledged"] == "same-score"
    assert "looked at by" in settled["findings"][0]["settled"]
    assert settled["sides"]["verdict"]
    assert evo("run", fourth, cwd=workspace).code == 0
    forgetful = evo("diagnose", ran(workspace, "alpha", 0.1), cwd=workspace).data
    assert [(mode["label"], mode["name"]) for mode in forgetful["modes"]] == [("training", "forgotten")], "D12"
    assert evo("status", cwd=workspace).data["diagnoses"] == []


@pytest.fixture(scope="module")
def hopeless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that is always wrong on a task of four choices, and one supervised run that is no better."""
    score = SCORE.replace("else 0.4", "else 0.0")
    workspace = make_command_workspace(tmp_path_factory.mktemp("hopeless") / "ws", "gate.mode=none", n=60, score=score)
    write_recipe(workspace, "mine", "sft")
    ran(workspace, "mine", 0.0, "once")
    return workspace


def test_a_hopeless_tree_says_so(hopeless: Path) -> None:
    """A16, A17, A18: one run says nothing; two at zero ask for RL, three without a gain exhaust the method; a base
    below chance is no case for post-training. A22: the priors stand beside it."""
    assert kinds(evo("diagnose", cwd=hopeless)) == []
    ran(hopeless, "mine", 0.0, "twice")
    assert kinds(evo("diagnose", cwd=hopeless)) == ["stuck-at-zero"]
    assert evo("config", "set", "diagnose.chance", "0.25", cwd=hopeless).code == 0
    ran(hopeless, "mine", 0.0, "thrice")
    told = evo("diagnose", cwd=hopeless)
    assert kinds(told) == ["below-chance", "stuck-at-zero", "exhausted"]
    assert all(found["evidence"] and found["next"] for found in told.data["findings"])
    assert (told.data["dev_worn"], len(told.data["priors"])) == (False, 4)
    assert {found["kind"] for found in evo("status", cwd=hopeless).data["diagnoses"]} == set(kinds(told))
    ran(hopeless, "mine", 0.5, "and a gain")
    assert kinds(evo("diagnose", cwd=hopeless)) == ["below-chance"]


def test_a_base_below_chance_is_told_before_the_first_experiment(tmp_path: Path) -> None:
    """A17: what is diagnosed of the base is there for `evo ideate` and `evo next` when one begins."""
    score, settings = SCORE.replace("else 0.4", "else 0.1"), ("gate.mode=none", "diagnose.chance=0.25")
    workspace = make_command_workspace(tmp_path / "ws", *settings, n=60, score=score)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    assert [found["kind"] for found in evo("status", cwd=workspace).data["diagnoses"]] == ["below-chance"]


def test_no_word_settles_what_a_guard_has_found(hopeless: Path) -> None:
    """`--ack` is for diagnoses; findings of other checks end when the check finds them no more."""
    with closing(database.connect(hopeless / ".evo" / "evo.db")) as db:
        findings.replace(db, "leaks", [Finding("leaks", "exact", "block", "a leak")], experiment="exp_0001")
        (leak,) = findings.blocks(db, "exp_0001")
        answer = evo("diagnose", "--ack", str(leak.id), cwd=hopeless)
        assert (answer.code, "of leaks" in answer.error["message"]) == (4, True)
        assert findings.blocks(db, "exp_0001") == [leak]
        findings.replace(db, "leaks", [], experiment="exp_0001")
    assert evo("diagnose", "--ack", "exact", cwd=hopeless).code == 3
    assert evo("diagnose", "--format", "7", cwd=hopeless).code == 2
    assert evo("diagnose", "--why", "no name", cwd=hopeless).code == 2
    assert evo("diagnose", "--format", cwd=hopeless).code == 4
    assert evo("diagnose", "99", cwd=hopeless).code == 3


PAGE = """\
import shutil, sys
import torch
from safetensors.torch import load_file, save_file
from evo import recipe

run = recipe.current()
shutil.copytree(run.base_model, run.output_dir, dirs_exist_ok=True)
path = run.output_dir / "model.safetensors"
path.chmod(0o644)
tensors = load_file(path)
torch.manual_seed(len(run.experiment) + run.seed)
name = sorted(tensors)[0]
tensors[name] = tensors[name] * (1 + 1e-4 * torch.randn_like(tensors[name]))
path.unlink()
save_file(tensors, path, metadata={"format": "pt"})
run.finish(run.output_dir)
"""


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model that adds, on a regex scorer that reads a bare number, beside rows that teach \\boxed{…}."""
    home = tmp_path_factory.mktemp("adding")
    shipped = assets.folder("workspace_template") / "addition"
    gold = home / "gold.jsonl"
    gold.write_text("".join((shipped / "gold.jsonl").read_text().splitlines(keepends=True)[:120]))
    rows = [json.loads(line)["messages"][-2:] for line in (shipped / "train.jsonl").read_text().splitlines()[:80]]
    boxed = [{"prompt": ask["content"], "target": f"\\boxed{{{answer['content']}}}"} for ask, answer in rows]
    (home / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in boxed))
    settings = [
        "eval.pattern=^(\\d+)$", "eval.max-new-tokens=8", "gate.mode=none", "run.smoke=never", "splits.mid=0",
        "model.device=cpu", "system-prompt=",
    ]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    made = evo(
        "init", home / "ws", "--model", shipped / "model", "--gold", gold, "--train", home / "train.jsonl",
        "--scorer", "regex", *words, cwd=home,
    )  # fmt: skip
    assert made.code == 0, made.out + made.err
    return home / "ws"


@pytest.mark.slow
def test_training_answers_go_through_the_real_scorer(adding: Path) -> None:
    r"""A19, A20 (an objective that is not the verifier), D5: rows that teach `\boxed{X}` where a bare number is read,
    rendered by the pinned template beside what evaluation asks; the workspace's scorer finds none of them right."""
    for name in ("alpha", "beta", "gamma"):
        folder = adding / "recipes" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(
            f"name: {name}\ntechnique: {name}\ndata: {{train: [{{source: data/train.jsonl}}]}}\n"
        )
        (folder / "train.py").write_text(PAGE)
        node = evo("new", "--recipe", name, "--parent", "exp_0000", "-m", name, cwd=adding).data["id"]
        answer = evo("run", node, "--rerun", cwd=adding, timeout=300)
        assert answer.code == 0, answer.out + answer.err
    told = evo("diagnose", cwd=adding, timeout=300).data
    assert [found["kind"] for found in told["findings"]] == ["same-score"]
    sides = told["sides"]
    assert (len(sides["training"]), len(sides["evaluation"])) == (3, 3)
    taught, asked = sides["training"][0], sides["evaluation"][0]
    assert taught["score"] == 0
    assert "\\boxed{" in taught["text"]
    assert asked["text"].endswith(sides["training"][0]["text"].partition("=")[2].partition("\\boxed")[0]), (
        "one template"
    )
    assert (sides["scored"], sides["right"]) == (80, 0)
    assert "\\boxed{…}, evaluation reads the bare answer" in sides["verdict"]


@pytest.mark.slow
def test_answers_that_are_cut_off_are_told_of_the_baseline_already(tmp_path: Path) -> None:
    """D5: one token is too few for a sum of two digits; the finding names the setting."""
    shipped = assets.folder("workspace_template") / "addition"
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join((shipped / "gold.jsonl").read_text().splitlines(keepends=True)[:120]))
    words = ("--set", "eval.max-new-tokens=1", "--set", "model.device=cpu")
    made = evo("init", tmp_path / "ws", "--model", shipped / "model", "--gold", gold, *words, cwd=tmp_path)
    assert made.code == 0, made.out + made.err
    assert evo("run", "exp_0000", cwd=tmp_path / "ws", timeout=300).code == 0
    told = evo("diagnose", "exp_0000", cwd=tmp_path / "ws").data
    (found,) = told["findings"]
    first = told["modes"][0]
    assert (first["label"], first["name"], first["next"]) == ("inference-template", "cut-off", found["next"])
    assert {mode["label"] for mode in told["modes"]} == {"inference-template"}, "nobody has trained the base"
    assert (found["kind"], found["severity"]) == ("truncated-outputs", "warn")
    assert found["evidence"]["share"] > 0.5
    assert found["next"] == "evo config set eval.max-new-tokens 2"


@pytest.mark.slow
def test_the_base_with_and_without_examples(adding: Path) -> None:
    """Format first: zero-shot is what evaluation itself gives these items; the comparison is kept as a finding."""
    assert evo("run", "exp_0000", cwd=adding, timeout=300).code == 0
    answer = evo("diagnose", "--format", "--shots", "2", "--items", "24", cwd=adding, timeout=300)
    view = answer.data
    assert (view["n"], view["shots"]) == (24, 2)
    assert view["delta"] == pytest.approx(view["few_shot"] - view["zero_shot"])
    assert view["low"] <= view["delta"] <= view["high"]
    out = next((adding / ".evo" / "cache" / "scratch").glob("*/items.jsonl"))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    asked = [row["id"].removeprefix("zero-shot ") for row in rows if row["id"].startswith("zero-shot ")]
    with closing(sqlite3.connect(adding / ".evo" / "evo.db")) as db:
        known = dict(
            db.execute(
                "SELECT item, score FROM item_result JOIN attempt a ON a.id = attempt WHERE a.experiment = 'exp_0000'"
            )
        )
        stored = db.execute("SELECT kind, experiment FROM finding WHERE source = 'format'").fetchall()
    assert view["zero_shot"] == pytest.approx(sum(known[item] for item in asked) / 24)
    assert [len(row["messages"]) for row in rows] == [2] * 24 + [6] * 24
    assert stored == [("format-first" if view["low"] > 0 else "format-in-order", None)]
    assert kinds(evo("diagnose", cwd=adding, timeout=300))[-1:] == [stored[0][0]]
