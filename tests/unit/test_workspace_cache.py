"""A32: the cache of a workspace lies outside its worktrees, is keyed by every input, and is not the hub's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import evo, make_command_workspace, new

from evo.config import DataSpec, SourceSpec
from evo.data.mix import Place, resolve
from evo.domain.item import parse_item
from evo.lightdata import replace

ROWS = [{"prompt": f"how much is {n} and {n}", "target": str(2 * n), "other": "x"} for n in range(20)]
BASE = SourceSpec("train.jsonl", n=8, weight=1.5, map={"note": "other"})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "more.jsonl", [{"prompt": "one more", "target": "1", "other": "y"}])
    return Place(tmp_path, tmp_path / ".evo" / "cache" / "datasets")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def key(place: Place, *sources: SourceSpec, exclude: tuple[int, ...] = (), seed: int = 1) -> Path:
    items = [parse_item(ROWS[index]) for index in exclude]
    return resolve(DataSpec([*sources]), place, exclude=items, seed=seed).path


def test_the_same_inputs_find_the_same_file_and_write_nothing(place: Place) -> None:
    """A32: a second run with equal inputs reads what the first has left."""
    path = key(place, BASE)
    written = path.stat().st_mtime_ns
    assert key(place, BASE) == path
    assert path.stat().st_mtime_ns == written


def test_every_input_is_in_the_key(place: Place) -> None:
    """A32: source, number, weight, map, exclusions, seed, order and the text of the file itself."""
    more = SourceSpec("more.jsonl", map={"note": "other"})
    paths = [
        key(place, BASE),
        key(place, replace(BASE, n=9)),
        key(place, replace(BASE, weight=2.0)),
        key(place, replace(BASE, map={"remark": "other"})),
        key(place, BASE, exclude=tuple(range(10))),
        key(place, BASE, seed=2),
        key(place, more),
        key(place, BASE, more),
        key(place, more, BASE),
    ]
    write(place.base / "train.jsonl", [{**row, "target": row["target"] + "0"} for row in ROWS])
    paths.append(key(place, BASE))
    assert len(set(paths)) == len(paths)


def test_a_spoilt_entry_is_written_anew(place: Place) -> None:
    path = key(place, BASE)
    text = path.read_text()
    path.chmod(0o644)
    path.write_text("torn")
    assert key(place, BASE).read_text() == text


def test_a_run_is_given_the_workspace_s_cache_whatever_the_hub_s_is(tmp_path: Path) -> None:
    """A32: outside every worktree, kept between runs, apart from downloads."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    page = "run = __import__('evo.recipe').recipe.current(); (run.cache_dir / 'seen').open('a').write('x')"
    script = tmp_path / "shared" / "train.py"
    script.write_text(f"import os\n{page}\nprint(os.environ['HF_HUB_CACHE'], run.cache_dir)\n")
    for number in range(2):
        node = new(workspace, f"argv=python {script}", f"try {number}", "--parent", "exp_0000")
        assert evo("run", node, "--rerun", cwd=workspace, HF_HUB_CACHE=str(tmp_path / "hub")).code == 0
        log = (workspace / ".evo" / "attempts" / node / "1" / "train.log").read_text()
        assert log.split() == [str(tmp_path / "hub"), str(workspace / ".evo" / "cache" / "runs")]
    assert (workspace / ".evo" / "cache" / "runs" / "seen").read_text() == "xx"
    assert not (tmp_path / "hub").exists()
    assert not list((workspace / ".evo" / "worktrees").rglob("seen"))
