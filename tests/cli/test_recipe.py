"""`evo recipe list` and `check` where a recipe of the workspace is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import reading_workspace

from evo.cli import app
from evo.errors import UsageError
from evo.files import write_json
from evo.ops.advice import lora_learning_rate

GOOD = "name: own\ntechnique: sft\ndata:\n  train:\n    - source: data/train.jsonl\n    - source: hf://a/b@main:train\n"


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace's own recipes: `own`, and `broken`."""
    workspace = reading_workspace(tmp_path)
    monkeypatch.chdir(workspace)
    for name, text in (("own", GOOD), ("broken", "name: broken\ntecnique: sft\n")):
        folder = workspace / "recipes" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(text)
        (folder / "train.py").write_text("print(1)\n")
    return workspace / "recipes"


def test_one_broken_recipe_hides_no_other(recipes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["recipe", "list", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in answer["data"]["recipes"]]
    assert {"own", "sft"} <= set(names)
    assert "broken" not in names
    assert len(answer["warnings"]) == 1
    assert f"{recipes}/broken/recipe.yaml, line 2" in answer["warnings"][0]


def test_check_names_missing_training_data(
    recipes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recipes.parent / "data" / "train.jsonl"
    assert app.run(["recipe", "check", "own"]) == 2
    said = capsys.readouterr()
    assert f"data.train[0].source: {data} does not exist" in said.out + said.err
    assert "hf://" not in said.out + said.err
    monkeypatch.chdir(recipes.parents[1])  # outside a workspace nobody knows where it would lie
    assert app.run(["recipe", "check", str(recipes / "own")]) == 0
    monkeypatch.chdir(recipes)
    data.write_text('{"prompt": "x", "target": "y"}\n')
    assert app.run(["recipe", "check", "own"]) == 0


@pytest.mark.parametrize(
    ("family", "hidden_size", "rate"), [("llama", 4096, 2.86e-4), ("qwen3", 2560, 4.91e-4), ("llama", 2000, 5e-4)]
)
def test_the_rate_of_a_lora_follows_the_formula_of_its_family(family: str, hidden_size: int, rate: float) -> None:
    """E3: 5e-5 · 10 · (2000/H)^P; Llama-3.1-8B 2.86e-4, Qwen3-4B 4.91e-4."""
    assert lora_learning_rate(family, hidden_size) == pytest.approx(rate, rel=2e-3)


def test_a_family_without_a_fit_gets_no_number() -> None:
    """E3: an uncalibrated family raises."""
    with pytest.raises(UsageError, match="no learning-rate advice for gemma3 models, only for Llama and Qwen"):
        lora_learning_rate("gemma3", 2048)


def test_show_advises_where_the_formula_knows_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for family in ("qwen3", "gemma3"):
        write_json(tmp_path / family / "config.json", {"model_type": family, "hidden_size": 2560})
    assert app.run(["recipe", "show", "sft", "--model", str(tmp_path / "qwen3"), "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)["data"]["advice"]
    assert advice["lora_learning_rate"] == pytest.approx(4.91e-4, rel=2e-3)
    assert app.run(["recipe", "show", "sft", "--model", str(tmp_path / "gemma3")]) == 0
    assert "no learning-rate advice for gemma3 models" in capsys.readouterr().out
    assert app.run(["recipe", "show", "sft", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["advice"] is None
    assert app.run(["recipe", "show", "sft", "--model", str(tmp_path / "nothing")]) == 3
