from __future__ import annotations

import re
from pathlib import Path

import pytest

from evo.config import EvoConfig, config_keys
from evo.errors import NotFound, UsageError
from evo.workspace import template
from evo.workspace.layout import Layout
from evo.workspace.settings import load_config

EXPECTED = [".gitignore", "AGENTS.md", "BACKGROUND.md", "data/.gitkeep", "evo.yaml", "mission.md", "recipes/.gitkeep"]


@pytest.mark.parametrize("kind", ["default", "command"])
def test_a_workspace_is_laid_down_and_valid(tmp_path: Path, kind: str) -> None:
    """C1: config, background, mission, .gitignore, and a page that briefs a fresh agent."""
    laid = template.lay_down(kind, tmp_path, name='it\'s: "mine" #1', model="/a b/model")
    assert set(EXPECTED) <= set(laid)
    config = load_config(Layout(tmp_path), environ={"HOME": str(tmp_path)})
    assert (config.name, config.model.source) == ('it\'s: "mine" #1', "/a b/model")
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert {".evo/", ".env"} <= set(ignored)
    assert "evo new" in (tmp_path / "AGENTS.md").read_text()
    assert not any("{{" in (tmp_path / name).read_text() for name in laid)


def test_the_templates_agree_with_the_defaults(tmp_path: Path) -> None:
    """What a template writes down is what holds without it, but for what the template is there for."""
    template.lay_down("default", tmp_path / "d", name="")
    assert load_config(Layout(tmp_path / "d"), environ={"HOME": "/x"}) == EvoConfig()
    template.lay_down("command", tmp_path / "c", name="")
    command = load_config(Layout(tmp_path / "c"), environ={"HOME": "/x"})
    assert (command.splits.mid, command.eval.backend, command.system_prompt) == (0, "command", "")
    keys = [key for key in config_keys() if re.search(rf"^ *{key.rpartition('.')[2]}:", _text("default"), re.MULTILINE)]
    assert {"max-attempts", "search.policy", "gate.alpha", "eval.scorer", "run.timeout", "env.pass"} <= set(keys)


def _text(kind: str) -> str:
    return (template.folder_of(kind) / "evo.yaml").read_text()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mission.md").write_text("my own")
    laid = template.lay_down("default", tmp_path, name="x")
    assert "mission.md" not in laid
    assert (tmp_path / "mission.md").read_text() == "my own"
    assert template.lay_down("default", tmp_path, name="x") == []


def test_an_unknown_template_and_a_wrong_setting_are_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        template.lay_down("defualt", tmp_path, name="x")
    assert "'default'" in caught.value.hint
    template.check("command", {"eval.command": "python score.py", "eval.files": '["score.py"]'})
    with pytest.raises(UsageError, match="gate.alpha".replace(".", r"\.")):
        template.check("default", {"gate.alpha": "2"})
    assert list(tmp_path.iterdir()) == []
