"""The wheel by itself: built, installed in an empty environment outside the checkout, used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import clean_environment, write_gold

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path, cwd: Path) -> str:
    env = {key: value for key, value in clean_environment().items() if not key.startswith("PYTHON")}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_makes_a_workspace(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    wheel = next(tmp_path.glob("evo_tree-*.whl"))
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    run(tmp_path / "env" / "bin" / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    evo = tmp_path / "env" / "bin" / "evo"
    write_gold(tmp_path / "gold.jsonl", 200)
    (tmp_path / "score.py").write_text("print('never called here')\n")
    words = ["--template", "command", "--gold", "gold.jsonl", "--eval-command", "python score.py"]
    run(evo, "init", "ws", *words, "--eval-files", "score.py", cwd=tmp_path)
    assert "sft" in run(evo, "recipe", "list", cwd=tmp_path / "ws")
    shown = run(evo, "recipe", "show", "sft", "--json", cwd=tmp_path)
    assert str(tmp_path / "env") in shown, "recipes come from the wheel, not from the checkout"
    assert run(evo, "status", cwd=tmp_path / "ws")
    run(evo, "plugin", "install", "--dir", "plugin", cwd=tmp_path)
    shipped = {path.name for path in (tmp_path / "plugin").rglob("*.json")}
    assert shipped == {".evo-plugin.json", ".mcp.json", "hooks.json", "marketplace.json", "plugin.json"}
    assert (tmp_path / "plugin" / "plugins" / "evo" / "skills" / "optimize" / "SKILL.md").is_file()
    names = run(tmp_path / "env" / "bin" / "python", "-c", "import evo, sys; print(evo.__file__)", cwd=tmp_path)
    assert str(tmp_path) in names
