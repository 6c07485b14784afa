"""Bad input: the message names file, line and field or the nearest name, the exit code is the documented one, and
nothing on disk has changed.

The commands run in this process, through the door that the process of `evo` enters by.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from snapshots import snapshot
from workspaces import Answer, evo, evo_here, make_command_workspace, new, skilled, write_gold

from evo import assets

ADDITION = assets.folder("workspace_template") / "addition"


class Wrong(NamedTuple):
    """A command line, its exit code, and words of its message or hint."""

    line: str
    code: int
    words: tuple[str, ...]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored baseline, one open node, and a recipe of its own."""
    root = make_command_workspace(tmp_path_factory.mktemp("bad") / "ws", n=150)
    own = root / "recipes" / "own"
    own.mkdir(parents=True)
    (own / "recipe.yaml").write_text(RECIPE)
    assert evo("run", new(root, skilled(0.4), "as good", "--parent", "exp_0000"), cwd=root).code == 0
    return root


RECIPE = """\
name: own
technique: sft
params:
  argv: {type: str, default: "true"}
  lr: {type: float, default: 1.0e-3, min: 0, max: 1}
"""


def refused(workspace: Path, wrong: Wrong) -> Answer:
    """Say it twice, with and without --json: both times refused in the same words, and no byte has changed."""
    before = snapshot(workspace)
    answer = evo_here(f"{wrong.line} --json", cwd=workspace)
    assert answer.code == wrong.code, (wrong.line, answer.out, answer.err)
    said = f"{answer.error['message']} {answer.error['hint']}"
    for words in wrong.words:
        assert words in said, (wrong.line, said)
    assert snapshot(workspace) == before, wrong.line
    plain = evo_here(wrong.line, cwd=workspace)
    assert (plain.code, plain.out) == (wrong.code, ""), wrong.line
    assert answer.error["message"] in plain.err, wrong.line
    assert "Traceback" not in plain.err, wrong.line
    return answer


@pytest.fixture
def edited(workspace: Path):  # type: ignore[no-untyped-def]
    """`edited(file, old, new)` for one test."""
    kept: dict[Path, bytes] = {}

    def edit(name: str, old: str, new: str) -> None:
        path = workspace / name
        kept.setdefault(path, path.read_bytes())
        text = path.read_text()
        assert old in text, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))

    yield edit
    for path, content in kept.items():
        path.write_bytes(content)


Edit = Callable[[str, str, str], None]

CONFIGS = {
    "unknown key": ("max-attempts: 3", "max-atempts: 3", ("line 6", "max-atempts", "max-attempts")),
    "wrong type": ("max-attempts: 3", "max-attempts: many", ("line 6", "max-attempts")),
    "out of range": ("alpha: 0.05", "alpha: 5", ("line", "gate.alpha")),
    "not one of": ("mode: certify ", "mode: certfy ", ("line", "gate.mode")),
    "no YAML": ("gate:\n", "gate: [\n", ("line",)),
    "twice": ("max-attempts: 3", "max-attempts: 3\nmax-attempts: 4", ("line 7", "max-attempts")),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_evo_yaml(workspace: Path, edited: Edit, fault: str) -> None:
    """Reading, running, branching and setting stop alike, at file, line and field."""
    old, new_, words = CONFIGS[fault]
    edited("evo.yaml", old, new_)
    for line in ("status", "run exp_0001", "new --recipe command --set argv=true -m x", "config set name other"):
        refused(workspace, Wrong(line, 2, (str(workspace / "evo.yaml"), *words)))


SETTINGS = (
    Wrong("config set max-atempts 1", 2, ("max-atempts", "'max-attempts'")),
    Wrong("config set max-attempts many", 2, ("max-attempts", "many")),
    Wrong("config set max-attempts 0", 2, ("max-attempts",)),
    Wrong("config get gate.alfa", 2, ("gate.alpha",)),
    Wrong("config unset gate.alfa", 2, ("gate.alpha",)),
    Wrong("run exp_0001 --timeout soon", 2, ("--timeout", "2h")),
    Wrong("run exp_0001 --executor locl --seed 9", 3, ("local",)),
    Wrong("run", 2, ("--next",)),
    Wrong("new --recipe comand --set argv=true -m x", 3, ("comand", "'command'")),
    Wrong("new --recipe ./nowhere -m x", 3, ("recipe.yaml",)),
    Wrong("new --recipe own --set learning=1 -m x", 2, ("learning",)),
    Wrong("new --recipe own --set rl=1 -m x", 2, ("'lr'",)),
    Wrong("new --recipe own --set lr=fast -m x", 2, ("lr", "fast")),
    Wrong("new --recipe own --set lr=2 -m x", 2, ("lr", "at most 1")),
    Wrong("new --recipe own --grid lr=0.1,2 -m x", 2, ("lr", "at most 1")),
    Wrong("new --recipe command -m x", 2, ("argv",)),
    Wrong("new --recipe own -m x --from-artifact exp_0001:lable", 3, ("lable",)),
    Wrong("frontier --policy tree-ubc", 3, ("'tree-ucb'",)),
    Wrong("discard exp_0001 --reason x --class hipothesis", 2, ("'hypothesis'",)),
    Wrong("statsu", 2, ("'status'",)),
    Wrong("status --limit", 2, ("--limit",)),
    Wrong("-C nowhere status", 2, ("nowhere",)),
    Wrong("eval exp_0001", 2, ("--scratch",)),
    Wrong("eval exp_0001 --scratch --set temprature=1", 2, ("temperature",)),
    Wrong("eval exp_0001 --scratch --suite .evo/sealed/heldout.jsonl", 4, ("sealed",)),
    Wrong("data seal --gold data/dev.jsonl", 4, ("seal",)),
)


@pytest.mark.parametrize("wrong", SETTINGS, ids=lambda wrong: wrong.line)
def test_a_wrong_word(workspace: Path, wrong: Wrong) -> None:
    refused(workspace, wrong)


def test_user_settings_that_cannot_be_read(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "evo" / "config.yaml").mkdir(parents=True)
    answer = evo_here("status", cwd=workspace)
    assert answer.code == 2
    assert str(tmp_path / "evo" / "config.yaml") in answer.err


def test_a_wrong_variable(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVO_MAX_ATTEMPTS", "many")
    refused(workspace, Wrong("run exp_0001", 2, ("EVO_MAX_ATTEMPTS", "many")))


RECIPES = {
    "unknown key": ("technique: sft", "tecnique: sft", ("tecnique", "line 2", "technique")),
    "wrong type of a default": ("default: 1.0e-3", "default: fast", ("lr", "line 5")),
    "unknown type": ("type: float", "type: flot", ("params.lr.type", "line 5")),
    "no YAML": ("params:", "params: {", ("line",)),
}


@pytest.mark.parametrize("fault", RECIPES)
def test_recipe_yaml(workspace: Path, edited: Edit, fault: str) -> None:
    """In the workspace's own recipe, and in a worktree, where nothing is committed and no attempt is spent."""
    old, new_, words = RECIPES[fault]
    made = evo("new", "--recipe", "own", "-m", fault, "--parent", "exp_0000", cwd=workspace).data
    edited("recipes/own/recipe.yaml", old, new_)
    for line in ("new --recipe own -m other", "recipe show own"):
        refused(workspace, Wrong(line, 2, (str(workspace / "recipes/own/recipe.yaml"), *words)))
    page = Path(made["worktree"]) / "recipe" / "recipe.yaml"
    edited(str(page.relative_to(workspace)), old, new_)
    refused(workspace, Wrong(f"run {made['id']}", 2, (str(page), *words)))
    assert evo("show", made["id"], cwd=workspace).data["attempts"] == []


def test_missing_training_data(workspace: Path, edited: Edit) -> None:
    edited("recipes/own/recipe.yaml", "params:", "data:\n  train:\n    - source: data/trian.jsonl\nparams:")
    made = evo("new", "--recipe", "own", "-m", "no data", "--parent", "exp_0000", cwd=workspace).data
    refused(workspace, Wrong(f"run {made['id']}", 3, ("data.train[0].source", "data/trian.jsonl")))


IDS = (
    "show {}", "run {}", "log {}", "failures {}", "path {}", "diff {}", "certify {}", "release {}", "rescore {}",
    "abort {}", "restore {}", "wait {}", "note {} text", "notes {}", "discard {} --reason x", "compare {} exp_0000",
    "compare exp_0000 {}", "new --recipe command --set argv=true -m x --parent {}", "eval {} --scratch",
    "new --recipe command --set argv=true -m x --from-artifact {}:best",
)  # fmt: skip


@pytest.mark.parametrize("line", IDS)
def test_an_unknown_experiment(workspace: Path, line: str) -> None:
    refused(workspace, Wrong(line.format("exp_0099"), 3, ("exp_0099", "the nearest are: exp_0")))


@pytest.mark.parametrize("line", IDS)
def test_an_id_that_is_a_path(workspace: Path, line: str) -> None:
    """§12: paths outside the workspace read through an id."""
    outside = workspace.parent / "exp_0001"
    outside.mkdir(exist_ok=True)
    for id_ in ("../exp_0001", "exp_0001/../../../exp_0001"):
        wrong = Wrong(line.format(id_), 3 if line.startswith("eval") else 2, (id_,))
        if line.startswith("eval") and (workspace / id_).is_dir():
            continue  # a folder of weights may lie anywhere
        refused(workspace, wrong)


GOLD = [{"prompt": f"{n} + {n} =", "target": str(2 * n)} for n in range(40)]
GOLDS = {
    "no JSON": ('{"prompt": "x", ', 2, ("line 3", "JSON")),
    "no target": ('{"prompt": "x"}', 2, ("line 3", "target")),
    "no question": ('{"question": "x"}', 2, ("line 3", "prompt")),
    "a number as prompt": ('{"prompt": 7, "target": "x"}', 2, ("line 3", "field prompt")),
    "a list": ("[1, 2]", 2, ("line 3", "object")),
    "not a number": ('{"prompt": "x", "target": "y", "weight": NaN}', 2, ("line 3", "NaN")),
    "a wrong role": ('{"messages": [{"role": "bot", "content": "x"}]}', 2, ("line 3", "messages[0].role")),
    "the same twice": (json.dumps(GOLD[0]), 2, ("line 3", "line 1")),
    "half a surrogate": (r'{"prompt": "\ud800", "target": "y"}', 2, ("line 3", "surrogate")),
}


@pytest.mark.parametrize("fault", GOLDS)
def test_gold_jsonl(tmp_path: Path, fault: str) -> None:
    """A new folder is not made; a project that is there keeps every byte."""
    text, code, words = GOLDS[fault]
    gold = tmp_path / "gold.jsonl"
    lines = [json.dumps(row) for row in GOLD]
    gold.write_text("\n".join([*lines[:2], text, *lines[2:]]) + "\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text("print()\n")
    for folder in ("new", "project"):
        line = f"init {folder} --template command --eval-command true --gold gold.jsonl"
        refused(tmp_path, Wrong(line, code, (str(gold.name), *words)))
    assert not (tmp_path / "new").exists()


INITS = (
    Wrong("init new --gold nowhere.jsonl", 3, ("nowhere.jsonl",)),
    Wrong("init new --gold empty.jsonl", 2, ("empty.jsonl", "empty")),
    Wrong("init new --gold gold.jsonl --dev gold.jsonl", 2, ("--dev",)),
    Wrong("init new --dev gold.jsonl", 2, ("--heldout",)),
    Wrong("init new --gold gold.jsonl --split 50/x/20", 2, ("50/x/20",)),
    Wrong("init new --gold gold.jsonl --split 50/30/30", 2, ("50/30/30", "110")),
    Wrong("init new --gold gold.jsonl --template comand", 3, ("'command'",)),
    Wrong("init new --gold gold.jsonl --template command", 2, ("--eval-command",)),
    Wrong("init new --gold gold.jsonl --set eval.backend=command", 2, ("--eval-command",)),
    Wrong("init new --gold gold.jsonl --scorer exct", 2, ("'exact'",)),
    Wrong("init new --gold gold.jsonl --set gate.alfa=1", 2, ("gate.alpha",)),
    Wrong("init new --gold gold.jsonl --set gate.alpha=many", 2, ("gate.alpha",)),
    Wrong("init new --gold gold.jsonl --set metric.range=[1,0]", 2, ("metric.range",)),
    Wrong("init new --gold gold.jsonl --set search.policy=tree-ubc", 2, ("'tree-ucb'",)),
    Wrong("init new --gold gold.jsonl --set run.executor=locl", 2, ("'local'",)),
    Wrong("init new --gold gold.jsonl --train gold.jsonx", 3, ("gold.jsonx",)),
    Wrong("init new --gold gold.jsonl --eval-command x --eval-files scor.py", 3, ("scor.py",)),
    Wrong("init new --gold gold.jsonl --eval-command x --eval-files broken.py", 2, ("broken.py", "line 2")),
    Wrong("init new --gold gold.jsonl --chat-template nowhere.jinja", 3, ("nowhere.jinja",)),
    Wrong("init new --gold gold.jsonl --model nowhere", 3, ("nowhere",)),
    Wrong("init new --gold gold.jsonl --model nobody/nothing", 3, ("nobody/nothing",)),
    Wrong("init new --gold gold.jsonl --model pickled", 4, ("safetensors", "pytorch_model.bin")),
    Wrong("init gold.jsonl", 2, ("gold.jsonl",)),
    Wrong("init dirty --gold gold.jsonl", 4, ("uncommitted",)),
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wrong inits name."""
    folder = tmp_path_factory.mktemp("desk")
    write_gold(folder / "gold.jsonl", 60)
    (folder / "empty.jsonl").touch()
    (folder / "broken.py").write_text("import json\ndef score(:\n")
    (folder / "pickled").mkdir()
    (folder / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "dirty").mkdir()
    (folder / "dirty" / "main.py").write_text("print()\n")
    for words in (["init", "-q"], ["add", "main.py"]):
        subprocess.run(["git", *words], cwd=folder / "dirty", check=True)
    subprocess.run([*COMMIT, "-q", "-m", "x"], cwd=folder / "dirty", check=True)
    (folder / "dirty" / "main.py").write_text("print(1)\n")
    return folder


COMMIT = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "commit"]


@pytest.mark.parametrize("wrong", INITS, ids=lambda wrong: wrong.line)
def test_init_makes_nothing_of_bad_input(desk: Path, wrong: Wrong) -> None:
    refused(desk, wrong)
    assert not (desk / "new").exists()


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the demo's model and a scorer of its own."""
    folder = tmp_path_factory.mktemp("graded")
    rows = (ADDITION / "gold.jsonl").read_text().splitlines()[:40]
    (folder / "gold.jsonl").write_text("\n".join(rows) + "\n")
    shutil.copytree(ADDITION / "model", folder / "model")
    (folder / "ws").mkdir()
    (folder / "ws" / "scorer.py").write_text("def score(expected, actual):\n    return float(expected == actual)\n")
    line = "init ws --model model --gold gold.jsonl --scorer custom --set eval.max-new-tokens=4"
    assert evo_here(line, cwd=folder).code == 0
    return folder / "ws"


def test_init_says_that_a_scorer_is_still_to_be_written(graded: Path, tmp_path: Path) -> None:
    desk = graded.parent
    (tmp_path / "bare").mkdir()
    line = f"init {tmp_path / 'bare'} --model model --gold gold.jsonl --scorer custom --json"
    steps = json.loads(evo_here(line, cwd=desk).out)["next"]
    assert any("scorer.py" in step["cmd"] for step in steps)


def test_init_splits_as_it_is_told(graded: Path, tmp_path: Path) -> None:
    line = f"init {tmp_path / 'ws'} --model model --gold gold.jsonl --scorer exact"
    assert evo_here(f"{line} --set splits.mid=99", cwd=graded.parent).code == 2
    assert evo_here(f"{line} --set splits.mid=0", cwd=graded.parent).code == 0
    assert "mid" not in json.loads((tmp_path / "ws/.evo/sealed/manifest.json").read_text())["splits"]


def test_scorer_py(graded: Path) -> None:
    """A scorer that is no Python, has no score, or is gone stops `run` before any compute."""
    page = graded / "scorer.py"
    good = page.read_text()
    for text, words in (
        ("def score(expected, actual):\n    return (1.0\n", ("line 2",)),
        ("import json\n", ("score",)),
        ("def score(expected):\n    return 1.0\n", ("line 1", "score")),
    ):
        page.write_text(text)
        refused(graded, Wrong("run exp_0000", 2, (str(page), *words)))
    page.unlink()
    refused(graded, Wrong("run exp_0000", 3, ("scorer.py",)))
    page.write_text(good)


def test_a_scorer_that_gives_no_number_fails_the_attempt(graded: Path) -> None:
    """The item is named, and there is no score."""
    (graded / "scorer.py").write_text("def score(expected, actual):\n    return [][0]\n")
    ran = evo("run", "exp_0000", cwd=graded)
    assert ran.code == 6, ran.out
    for word in ("dev item in line", "scorer.py, line 2", "IndexError"):
        assert word in ran.document["error"]["message"]
    assert ran.document["data"]["score"] is None


def test_a_model_that_is_gone(graded: Path) -> None:
    (graded / "scorer.py").write_text("def score(expected, actual):\n    return 1.0\n")
    model = graded.parent / "model"
    away = model.rename(model.with_name("away"))
    refused(graded, Wrong("run exp_0000", 3, (str(model),)))
    away.rename(model)
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-4] + b"\0\0\0\1")
    refused(graded, Wrong("run exp_0000", 4, (str(model), "weights")))
