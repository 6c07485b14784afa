"""How the read commands look in a pipe: words beside every mark, no control characters, bounded lists."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from reading import EPOCH, HELDOUT, plant, reading_workspace, right, score
from synthetic import chain
from workspaces import clean_environment

from evo.cli import app
from evo.cli.blocks import plain_text
from evo.cli.render import trees
from evo.cli.render.trees import guides
from evo.domain.views import TreeNodeView, TreeView
from evo.lightdata import replace
from evo.store import db as database
from evo.store import experiments, meta
from evo.workspace.layout import Layout
from evo.workspace.settings import refresh

HEAVY = {"numpy", "pandas", "pydantic", "sqlite_utils", "torch", "transformers", "anthropic", "wandb", "rich"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_workspace(tmp_path_factory.mktemp("words"))


def said(words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    assert app.run(shlex.split(words)) == 0, words
    return capsys.readouterr().out


def test_marks_come_with_words(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = said("tree", built, capsys, monkeypatch)
    lines = tree.splitlines()
    assert lines[2].split()[:3] == ["├─exp_0001", "◆", "committed"]
    assert lines[3].startswith("│ ├─exp_0002  ● open")
    assert "0.500 ± 0.157 old" in tree
    assert "\x1b" not in tree
    shown = said("show 2", built, capsys, monkeypatch)
    assert "score               0.750 ± 0.136  on 40 dev items, mean of 2 seeds" in shown
    assert "shrunken estimate" in shown
    assert "kept: open, a legal parent; no certificate asked for yet (evidence 0.1 of 1.645)" in shown
    assert "isolation: bwrap" in said("show 1", built, capsys, monkeypatch)


def test_a_log_cannot_steer_the_terminal(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """D17: a huge log is read from its end, a few lines at a time."""
    log = said("log 3 --tail 3", built, capsys, monkeypatch)
    assert log.splitlines()[1:] == ["step 199", r"\x1b[2Jloss is \x07nan", "RuntimeError: loss is nan"]


def test_a_hypothesis_cannot_break_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bare(tmp_path)
    with contextlib.closing(database.connect(Layout(folder).db)) as db:
        plant(db, hypothesis="two\nlines \x1b[31mred\u202e and " + "long " * 100)
    monkeypatch.setenv("COLUMNS", "100")
    rows = said("tree", folder, capsys, monkeypatch).splitlines()
    assert len(rows) == 3
    assert r"two lines \x1b[31mred\u202e" in rows[2]
    assert len(rows[2]) == 100
    assert rows[2].endswith("…")


def bare(root: Path) -> Path:
    """A workspace with nothing but its root, scored."""
    layout = Layout(root)
    layout.data.mkdir()
    layout.create()
    layout.config.write_text("name: bare\n")
    refresh(layout)
    database.create(layout.db)
    with contextlib.closing(database.connect(layout.db)) as db:
        experiments.add_root(db, hypothesis="the base", recipe="base", technique="none")
        meta.set(db, "epoch", EPOCH)
        meta.set(db, "heldout_hash", HELDOUT)
        score(db, "exp_0000", right(16))
    return root


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout(tmp_path_factory.mktemp("deep"))
    layout.create()
    layout.config.write_text("name: deep\n")
    refresh(layout)
    chain(layout.db, 1100)
    return layout.root


@pytest.mark.parametrize(
    "words", ["status", "tree", "tree --limit 2000", "tree --from 1050", "path 1100", "show 1100", "next"]
)
def test_a_chain_of_1100_is_an_ordinary_tree(
    words: str, deep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """§12: a 1,100-deep tree hanging a command."""
    text = said(words, deep, capsys, monkeypatch)
    expected = {"tree --limit 2000": 1102, "tree": 52, "path 1100": 52, "tree --from 1050": 52}
    assert len(text.splitlines()) == expected.get(words, len(text.splitlines()))
    assert max(map(len, text.splitlines())) <= 140
    if words == "path 1100":
        assert text.splitlines()[1].startswith("exp_1051")


@pytest.mark.parametrize("columns", [60, 70, 80, 100, 120, 200])
def test_a_row_of_the_tree_is_one_line_of_any_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hypothesis gets what is left; the recipe gives way to it, and where hardly anything is left so does it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "moves learning_rate 0.001 -> 0.0003 and warmup 0.02 -> 0.08"
    nodes = [TreeNodeView("exp_0000", None, "committed", 0.813, "the base", "base", se=0.016, children=1)]
    nodes += [
        TreeNodeView(
            f"exp_{n:04d}", f"exp_{n - 1:04d}", "committed", 0.9, words, "sft-augmented-twice", depth=n, se=0.02
        )
        for n in range(1, 7)
    ]
    nodes[-1] = replace(nodes[-1], corrected=0.9)
    lines = plain_text(trees.tree(TreeView(nodes, truncated=False, total=7))).splitlines()
    assert len(lines) == 9
    assert max(map(len, lines[:-1])) <= columns
    assert lines[-1] == "exp_0006: 0.900 corrected for having been chosen"
    assert ("HYPOTHESIS" in lines[0], "RECIPE" in lines[0]) == (columns >= 70, columns >= 100)


def test_guides_of_100000_generations_are_drawn_in_one_pass() -> None:
    nodes = [
        TreeNodeView(f"exp_{n}", None, "open", None, "", "sft", depth=n if n < 99_998 else 1) for n in range(100_000)
    ]
    drawn = guides(nodes)
    assert drawn[:3] == ["", "├─", "│ ╰─"]
    assert drawn[-2:] == ["├─", "╰─"]
    assert max(map(len, drawn)) <= 26


@pytest.mark.parametrize("words", ["--help", "status", "tree", "show 1", "next"])
def test_hot_commands_import_nothing_heavy(words: str, built: Path) -> None:
    """§3: the modules that a hot command loads, in a process of its own."""
    script = (
        "import sys; from evo.cli import app; code = app.run(sys.argv[1:]);"
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        cwd=built, env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stderr.split("\n"))
    assert "evo.cli.app" in loaded
    assert not loaded & HEAVY


def test_bash_completes(built: Path) -> None:
    script = """eval "$(evo completion bash)"
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _evo; echo "${COMPREPLY[*]}"; }
complete_words evo sta
complete_words evo show exp_000
complete_words evo failures --s
complete_words evo config u
"""
    folder = Path(sys.executable).parent
    env = clean_environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", script], cwd=built, env=env, capture_output=True, text=True, check=True)
    first, ids, options, parts = done.stdout.splitlines()
    assert first == "status"
    assert ids.split()[:2] == ["exp_0009", "exp_0008"]
    assert options == "--slice"
    assert parts == "unset"
