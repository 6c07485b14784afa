"""DESIGN §14: each extra is told alike by pyproject, README, `evo doctor` and the error of what it lacks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from workspaces import clean_environment, make_command_workspace

from evo import registry
from evo.ops.doctor import EXTRAS as SHOWN

ROOT = Path(__file__).resolve().parents[2]
APART = {"vllm", "dev"}
"""Installed in an environment of its own, or for whoever works on evo."""
WITHOUT_EVO = """
import sys
from evo.cli import app

for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as if it were not installed
raise SystemExit(app.run(sys.argv[2:]))
"""


def extras() -> dict[str, set[str]]:
    """Extra -> names of its distributions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {extra: {re.split(r"[<>=]", line)[0] for line in lines} for extra, lines in project.items()}


def told_in_readme() -> tuple[set[str], set[str]]:
    """Extras with a row, and those that are kept for what comes."""
    text = (ROOT / "README.md").read_text().partition("| extra | brings |")[2].partition("\n## ")[0]
    rows, _, kept = text.partition("\n\n")
    named = {name for row in rows.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1] if row else "")}
    return named, set(re.findall(r"`([\w-]+)`", kept))


def modules(of: set[str]) -> set[str]:
    """Modules of distributions, as far as their names tell."""
    return {name.replace("-", "_") for name in of} | {name.partition("-")[0] for name in of}


def test_readme_doctor_and_pyproject_name_the_same_extras() -> None:
    known, (used, kept) = extras(), told_in_readme()
    assert used | kept == known.keys() - {"dev"}
    assert not used & kept
    assert SHOWN.keys() - {"data"} == used - APART
    for extra, names in SHOWN.items():
        assert set(names) <= known[extra], extra
    imported = {
        word
        for path in (*ROOT.glob("evo/**/*.py"), *ROOT.glob("recipes/**/*.py"))
        for found in re.findall(r"(?m)^\s*(?:from|import) (\w+)|import_module\(\"(\w+)", path.read_text())
        for word in found
    }
    assert not imported & set().union(*(modules(known[extra]) for extra in kept))
    assert imported & modules(known["ideas"]), "the look above finds what is imported"


def test_an_error_names_no_extra_that_there_is_not() -> None:
    named = set(registry.EXTRAS.values())
    for path in ROOT.glob("evo/**/*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("MissingExtra", "needing"):
                named |= {word.value for word in call.args[-1:] if isinstance(word, ast.Constant)}
    assert {"train", "math", "ideas", "mcp"} <= named - {""}
    assert named - {""} <= extras().keys()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_command_workspace(tmp_path_factory.mktemp("extras") / "ws", "track=wandb", n=60)


@pytest.mark.parametrize(
    ("extra", "hidden", "words"),
    [
        ("mcp", "mcp,mcp.server", "mcp"),
        ("ideas", "anthropic", "ideate --source anthropic"),
        ("wandb", "wandb", "wandb sync"),
        ("train", "huggingface_hub", "recipe show sft --model org/name"),
    ],
)
def test_what_an_extra_lacks_is_said_with_its_pip_line(workspace: Path, extra: str, hidden: str, words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_EVO, hidden, *words.split()],
        cwd=workspace, env=clean_environment(ANTHROPIC_API_KEY="none"), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert f"pip install 'evo-tree[{extra}]'" in ran.stdout + ran.stderr, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("family", "name"), sorted(registry.EXTRAS))
def test_a_backend_without_its_libraries_says_so(family: str, name: str) -> None:
    """The evaluation's process ended with a traceback, and no word of what to install."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; from evo import registry;"
        "from evo.evaluate.process import as_process;"
        f"sys.exit(as_process(lambda: registry.load({family!r}, {name!r})))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 1
    assert re.fullmatch(r"evo: \w+ is not installed \(pip install 'evo-tree\[train\]'\)\n", ran.stderr), ran.stderr
