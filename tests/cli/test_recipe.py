"""`evo recipe list` and `check` where a recipe of the workspace is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import reading_workspace

from evo.cli import app

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
