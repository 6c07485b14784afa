from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo.config import EvoConfig, config_keys
from evo.errors import FileFormatError, UsageError
from evo.workspace.layout import Layout
from evo.workspace.settings import load_config, refresh, set_value, unset_value, variable_of

OF_A_RUN = {
    "EVO_JOB", "EVO_EXPERIMENT_ID", "EVO_ATTEMPT", "EVO_WORKTREE", "EVO_DATASET", "EVO_SEED_ARTIFACT",
    "EVO_PARENT_POLICY", "EVO_CHECKPOINT_DIR", "EVO_TRACES_DIR", "EVO_RESULT_PATH",
}  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "ws")
    layout.create()
    layout.config.write_text("name: x\nsearch:\n  policy: greedy\n")
    return layout


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}


def write_user_file(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["XDG_CONFIG_HOME"]) / "evo" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_precedence(layout: Layout, environ: dict[str, str]) -> None:
    """DESIGN §5: flag > EVO_* > evo.yaml > user file > default."""

    def policy(**flags: object) -> str:
        return load_config(layout, environ=environ, flags=flags or None).search.policy

    layout.config.write_text("name: x\n")
    assert policy() == EvoConfig().search.policy == "tree-ucb"
    write_user_file(environ, "search: {policy: uct, beta: 2}\nmax_attempts: 5\n")
    assert policy() == "uct"
    layout.config.write_text("name: x\nsearch:\n  policy: greedy\n")
    assert policy() == "greedy"
    environ["EVO_SEARCH_POLICY"] = "softmax"
    assert policy() == "softmax"
    assert policy(**{"search.policy": "asha"}) == "asha"
    merged = load_config(layout, environ=environ)
    assert (merged.search.beta, merged.max_attempts, merged.name) == (2.0, 5, "x")


def test_the_two_spellings_of_a_key_are_one_key(layout: Layout, environ: dict[str, str]) -> None:
    write_user_file(environ, "max_attempts: 5\neval: {max_new_tokens: 7}\n")
    layout.config.write_text("max-attempts: 4\neval:\n  max-new-tokens: 9\n")
    config = load_config(layout, environ=environ)
    assert (config.max_attempts, config.eval.max_new_tokens) == (4, 9)


def test_variables_are_typed_ranged_and_named(layout: Layout, environ: dict[str, str]) -> None:
    environ |= {
        "EVO_MAX_ATTEMPTS": "1",
        "EVO_GATE_ALPHA": "0.1",
        "EVO_JOB": "/x/job.json",
        "EVO_EXPERIMENT_ID": "exp_1",
    }
    config = load_config(layout, environ=environ)
    assert (config.max_attempts, config.gate.alpha) == (1, 0.1)
    environ["EVO_MAX_ATTEMPTS"] = "many"
    with pytest.raises(UsageError, match=r"EVO_MAX_ATTEMPTS: 'many' is not a whole number"):
        load_config(layout, environ=environ)
    environ["EVO_MAX_ATTEMPTS"] = "0"
    with pytest.raises(UsageError, match=r"EVO_MAX_ATTEMPTS.*at least 1"):
        load_config(layout, environ=environ)


def test_each_key_has_one_variable_and_none_belongs_to_a_run() -> None:
    variables = [variable_of(key) for key in config_keys()]
    assert len(set(variables)) == len(variables)
    assert not OF_A_RUN & set(variables)


def test_a_flag_with_an_unknown_key_names_the_nearest(layout: Layout, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(layout, environ=environ, flags={"search.polcy": "x"})
    assert "search.policy" in caught.value.hint


def test_an_error_names_the_file_it_is_in(layout: Layout, environ: dict[str, str]) -> None:
    user = write_user_file(environ, "\nsearch: {polcy: uct}\n")
    with pytest.raises(FileFormatError, match="unknown key") as caught:
        load_config(layout, environ=environ)
    assert (caught.value.path, caught.value.line) == (str(user), 2)


def test_reading_writes_nothing_and_an_edit_by_hand_counts_at_once(layout: Layout, environ: dict[str, str]) -> None:
    """§12: a read command that writes."""
    before = sorted(layout.root.rglob("*"))
    load_config(layout, environ=environ)
    assert sorted(layout.root.rglob("*")) == before
    refresh(layout, environ=environ)
    assert (layout.cache / "config.json").is_file()
    layout.config.write_text("name: y\n")
    assert load_config(layout, environ=environ) == EvoConfig(name="y")


def test_a_damaged_or_foreign_copy_is_not_believed(layout: Layout, environ: dict[str, str]) -> None:
    refresh(layout, environ=environ)
    copy = layout.cache / "config.json"
    for text in ("", "[]", '{"sha256": "0", "config": {"name": "evil"}}'):
        copy.write_text(text)
        assert load_config(layout, environ=environ).name == "x"


def test_the_validated_copy_is_the_configuration_and_loads_no_heavy_module(layout: Layout) -> None:
    """§3, §13: commands on the hot path import neither pydantic nor ruamel."""
    set_value(layout, "gate.sigma-run", "0.01")
    fresh = load_config(layout)
    code = (
        "import sys; from pathlib import Path; from evo.workspace.layout import Layout\n"
        "from evo.workspace.settings import load_config, refresh\n"
        "import evo.workspace.repository, evo.workspace.recipes\n"
        "layout = Layout(Path(sys.argv[1])); assert refresh(layout) == load_config(layout)\n"
        "print(repr(load_config(layout)))\n"
        "heavy = {'pydantic', 'ruamel', 'filelock', 'psutil', 'jinja2', 'numpy', 'huggingface_hub', 'sqlite_utils'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    environ = os.environ | {"EVO_MAX_ATTEMPTS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(layout.root)], env=environ, capture_output=True, text=True, check=True
    )
    shown, heavy = done.stdout.splitlines()
    assert shown == repr(fresh).replace("max_attempts=3", "max_attempts=2")
    assert heavy == "[]"


def test_set_and_unset_go_through_to_the_copy(layout: Layout) -> None:
    """A14: `evo config set max-attempts 1` caps."""
    assert set_value(layout, "max-attempts", "1") == 1
    assert load_config(layout).max_attempts == 1
    assert unset_value(layout, "max-attempts") is True
    assert unset_value(layout, "max-attempts") is False
    assert load_config(layout).max_attempts == 3
