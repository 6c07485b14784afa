"""The smoke run of real pages on the demo's model: every shipped recipe passes, one that renders by itself does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from workspaces import evo

pytest.importorskip("trl")

ROOT = Path(__file__).resolve().parents[2]
ADDITION = ROOT / "workspace_template" / "addition"
RECIPES = ("sft", "dpo", "kto", "orpo", "pretrain", "grpo", "rloo", "rft")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pages")
    settings = ("system-prompt=", "eval.max-new-tokens=6", "eval.batch-size=150")
    words = [word for setting in settings for word in ("--set", setting)]
    files = ["--model", ADDITION / "model", "--gold", ADDITION / "gold.jsonl", "--train", ADDITION / "train.jsonl"]
    answer = evo("init", home / "ws", *files, "--scorer", "exact", *words, cwd=home)
    assert answer.code == 0, answer.out
    workspace = home / "ws"
    rows = [json.loads(line)["messages"] for line in (workspace / "data/train.jsonl").read_text().splitlines()[:200]]
    sums = [(row[0]["content"], row[-1]["content"]) for row in rows]
    pairs = [{"prompt": asked, "chosen": answer, "rejected": str(int(answer) + 7)} for asked, answer in sums]
    (workspace / "data/preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (workspace / "data/corpus").mkdir(exist_ok=True)
    (workspace / "data/corpus/sums.txt").write_text("\n\n".join(asked + answer for asked, answer in sums))
    return home


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home", symlinks=True)
    return tmp_path / "home" / "ws"


def plant(workspace: Path, recipe: str) -> str:
    answer = evo("new", "--recipe", recipe, "-m", f"try {recipe}", "--parent", "exp_0000", cwd=workspace)
    assert answer.code == 0, answer.out
    found: str = answer.data["id"]
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_shipped_recipe_passes_its_trial(workspace: Path, recipe: str) -> None:
    """A5: with the defaults of its recipe.yaml, ten rows, a checkpoint that the evaluator loads, a score above zero."""
    answer = evo("run", plant(workspace, recipe), "--smoke", cwd=workspace, timeout=280)
    assert answer.code == 0, answer.out + answer.err
    assert answer.data["score"]["mean"] > 0
    assert answer.data["seconds"] < 120


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "prompts, answers = [turns[:-1] for turns in conversations], [turns[-1:] for turns in conversations]",
            """prompts = [f"Question: {turns[0]['content']} Answer: " for turns in conversations]
    answers = [turns[-1]["content"] for turns in conversations]""",
            "training rendered its rows as 'Question: ",
        ),
        (
            "examples, has_marked_turns = dataset(setup)",
            """setup.tokenizer.chat_template = "# " + setup.tokenizer.chat_template
    examples, has_marked_turns = dataset(setup)""",
            "",
        ),
    ],
    ids=["by hand", "with a template of its own"],
)
def test_a_page_that_renders_otherwise_than_evaluation_is_refused(
    workspace: Path, old: str, new: str, said: str
) -> None:
    """A5, A30: template drift between training and evaluation, seen in what the trainer reads."""
    node = plant(workspace, "sft")
    page = workspace / ".evo" / "worktrees" / node / "recipe" / "train.py"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))
    answer = evo("run", node, "--smoke", cwd=workspace, timeout=280)
    assert (answer.code, answer.error["code"]) == (4, "smoke"), answer.out
    fault = answer.document["data"]["faults"][0]
    assert fault["reason"] == "template"
    assert said in fault["message"]
