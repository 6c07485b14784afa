"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


PAGES = tracked("*.py")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and path.is_relative_to(ROOT / "evo"):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"


def test_packages_say_nothing_in_their_init() -> None:
    said = [path for path in tracked("evo/**/__init__.py", "evo/__init__.py") if path.read_text().strip()]
    assert said == [ROOT / "evo/recipe/__init__.py"]  # the one package that pages import by its name


def test_recipes_are_pages() -> None:
    for path in tracked("recipes/*/train.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 200, path
        ours = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module]
        assert {module for module in ours if module.split(".")[0] == "evo"} <= {"evo", "evo.recipe"}
