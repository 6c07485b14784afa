"""Shipped recipes are pages: valid, short, documented, and with every parameter that they read."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evo import assets
from evo.domain.job import Job, RunFacts
from evo.errors import UsageError
from evo.files import write_json
from evo.validation import plain
from evo.workspace import recipe_check, recipes
from evo.workspace.params import apply_params

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(folder for folder in assets.folder("recipes").iterdir() if (folder / "recipe.yaml").is_file())
SFT = recipes.load_recipe(None, assets.folder("recipes") / "sft").config


@pytest.fixture(params=SHIPPED, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


def modules_of(page: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(page.read_text(encoding="utf-8"))))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return found | {f"{node.module}.{alias.name}" for node in named for alias in node.names}


def test_a_recipe_is_valid_and_named_after_its_folder(folder):
    assert recipe_check.check(folder) == []
    assert recipes.load_recipe(None, folder).config.name == folder.name


def test_a_page_has_at_most_two_hundred_lines_and_imports_one_module_of_ours(folder):
    page = folder / "train.py"
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 200
    ours = {name for name in modules_of(page) if name.partition(".")[0] == "evo"}
    assert ours <= {"evo.recipe", "evo.recipe.training", "evo.recipe.rewards", "evo.recipe.sampling"}
    assert "evo.recipe" in ours


def test_a_page_reads_exactly_the_parameters_that_its_recipe_declares(folder):
    page = folder / "train.py"
    shared = ("training", "weights") if "evo.recipe.training" in modules_of(page) else ()
    files = [page, *(ROOT / f"evo/recipe/{name}.py" for name in shared)]
    read = {name for file in files for name in re.findall(r"\b(?:p|params)\.(\w+)", file.read_text(encoding="utf-8"))}
    assert read == set(recipes.load_recipe(None, folder).config.params)


def test_the_readme_names_every_parameter_with_its_default(folder):
    table = dict(
        re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \|", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for name, spec in recipes.load_recipe(None, folder).config.params.items():
        stated = table.pop(name)
        if isinstance(spec.default, float):
            assert math.isclose(float(stated), spec.default)
        else:
            assert stated == (json.dumps(spec.default).strip('"') if spec.default is not None else "must be given")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("max_length", 2048), ("lora_rank", 32), ("lora_alpha", 32), ("lora_dropout", 0.05), ("epochs", 3),
        ("gradient_accumulation", 1), ("learning_rate", 5e-5), ("warmup", 0.1), ("weight_decay", 0.01),
        ("scheduler", "cosine"), ("batch_size", 8), ("min_learning_rate", 1e-6), ("packing", False), ("method", "full"),
    ],
)  # fmt: skip
def test_training_fields_have_their_defaults(name, default):
    """C12, E2: the fields and defaults of the tools that evo replaces, as parameters of the sft recipe."""
    value = apply_params(SFT, [])[name]
    assert value == default
    assert type(value) is type(default) or SFT.params[name].type == "float"


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [
        ("learning_rate=1e-9", "learning_rate=1", ["learning_rate=0", "learning_rate=1.01", "learning_rate=nan"]),
        ("lora_rank=1", "lora_rank=256", ["lora_rank=0", "lora_rank=257", "lora_rank=8.5"]),
        ("batch_size=1", "batch_size=512", ["batch_size=0", "batch_size=513"]),
        ("max_length=128", "max_length=32768", ["max_length=127", "max_length=32769"]),
        ("lora_dropout=0", "lora_dropout=0.99", ["lora_dropout=1", "lora_dropout=-0.1"]),
        ("scheduler=linear", "scheduler=constant", ["scheduler=cosin"]),
        ("warmup=0", "warmup=100", ["warmup=-1"]),
        ("max_steps=0", "max_steps=1000", ["max_steps=-1", "max_steps=many"]),
        ("method=full", "method=qlora", ["method=prefix"]),
    ],
)
def test_training_fields_keep_their_ranges(low, high, refused):
    """E2: lr (0, 1], rank 1-256, batch 1-512, length 128-32768; what is outside is refused by name."""
    name = low.partition("=")[0]
    for word in (low, high):
        assert name in apply_params(SFT, [word])
    for word in refused:
        with pytest.raises(UsageError, match=name):
            apply_params(SFT, [word])


def test_short_names_of_the_command_line_are_understood():
    assert apply_params(SFT, ["lr=5e-5", "rank=16"])["lora_rank"] == 16


def test_the_command_page_becomes_the_command(tmp_path):
    write = "import os, pathlib; pathlib.Path('made').write_text(str(os.getpid()) + ' a b')"
    facts = RunFacts("exp_0001", 1, 1, {"argv": shlex.join([sys.executable, "-c", write])}, {}, "output", "cache")
    write_json(tmp_path / "job.json", plain(Job("exp_0001", 1, str(tmp_path), None, None, facts)))
    env = {**os.environ, "EVO_JOB": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(ROOT / "recipes/command/train.py")], cwd=tmp_path, env=env) as process:
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "made").read_text() == f"{process.pid} a b", (
        "the same process: signals and exit code are its own"
    )
