"""`evo demo`: what it refuses, whether its script fits the shipped recipe, and the whole of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from proclist import processes_of
from workspaces import Answer, clean_environment, evo

from evo import assets
from evo.cli.render.demo import demo as render
from evo.data.reader import read_rows
from evo.domain.demo_view import DemoView
from evo.domain.views import CertificateView, NewView, TreeNodeView
from evo.errors import Refused
from evo.ideas.space import space_of
from evo.ops import demo
from evo.workspace import repository
from evo.workspace.layout import Layout
from evo.workspace.recipes import apply_params, find_recipe

LONGEST_S = 360


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    answer = evo("demo", tmp_path, cwd=tmp_path)
    assert (answer.code, answer.error["code"]) == (4, "refused")
    assert str(tmp_path) in answer.error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    taken = tmp_path / "mine.txt"
    assert evo("demo", taken, cwd=tmp_path).code == 2


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's workspace before anything runs."""
    root = tmp_path_factory.mktemp("laid") / "tree"
    demo.lay_out(root)
    return root


def test_every_trial_fits_its_recipe(laid: Path, tmp_path: Path) -> None:
    """The script is legal: its parameters exist, its edits find their place; four techniques are in it."""
    layout = Layout(laid)
    assert len(demo.SCRIPT) >= 6
    kinds = set()
    for trial in demo.SCRIPT:
        source = find_recipe(layout, trial.recipe)
        assert source.config.init_from == "parent", "each goes on from the weights of the parent that the policy picks"
        params = apply_params(source.config, demo.settings_of(trial))
        assert params["logging_steps"] == 2
        kinds.add((trial.recipe, params["method"]))
        for edit in (demo.CALM, *trial.edits):
            copy = tmp_path / edit.file
            copy.parent.mkdir(exist_ok=True)
            copy.write_text((source.folder / Path(edit.file).name).read_text())
            demo.apply(edit, NewView("exp_0001", True, str(tmp_path)))
            assert edit.new in copy.read_text()
            with pytest.raises(Refused, match="does not fit"):
                demo.apply(demo.Edit(edit.file, "no such words", ""), NewView("exp_0001", True, str(tmp_path)))
    assert kinds == {("sft", "lora"), ("dpo", "full"), ("grpo", "full"), ("rft", "full")}


def test_the_loop_moves_five_values_of_its_own_copy_of_sft(laid: Path) -> None:
    """Those of `RANGES` within them, whatever the shipped page offers beside; its comments stay."""
    source = find_recipe(Layout(laid), "sft")
    assert source.folder == laid / "recipes" / "sft"
    axes = {axis.name: axis for axis in space_of(source.config.params).axes}
    assert set(axes) == set(demo.RANGES)
    assert axes["method"].choices == ("full", "lora")
    assert (axes["learning_rate"].low, axes["learning_rate"].high, axes["learning_rate"].is_log) == (1e-4, 3e-2, True)
    assert source.config.params["max_steps"].default == demo.STAYS["max_steps"]
    shipped = (assets.folder("recipes") / "sft" / "recipe.yaml").read_text().splitlines()
    kept = (source.folder / "recipe.yaml").read_text()
    assert all(line in kept for line in shipped if line.lstrip().startswith("#"))


def test_preferences_are_made_of_the_training_rows_alone(laid: Path) -> None:
    """The right sum against a wrong one, for every row and no other; they are in the workspace's first commit."""
    rows = [row.data["messages"] for row in read_rows(laid / "data" / "train.jsonl")]
    pairs = [row.data for row in read_rows(laid / "data" / "preferences.jsonl")]
    assert [(pair["prompt"], pair["chosen"]) for pair in pairs] == [
        (user["content"], ai["content"]) for user, ai in rows
    ]
    for pair in pairs:
        first, second = pair["prompt"].rstrip("=").split("+")
        assert int(pair["chosen"]) == int(first) + int(second) != int(pair["rejected"])
    assert demo.preference({"messages": [{"content": "17+25="}, {"content": "42"}]})["rejected"] == "32"
    assert demo.preference({"messages": [{"content": "11+22="}, {"content": "33"}]})["rejected"] == "43"
    assert "data/preferences.jsonl" in repository.tracked(laid, ["data"])


def test_an_interrupt_ends_what_runs_and_says_so(tmp_path: Path) -> None:
    """Exit code 130, nothing left running, and the workspace can be gone on with."""
    argv = [sys.executable, "-m", "evo", "demo", str(tmp_path / "tree")]
    env = clean_environment()
    # a shell's background job ignores the signal, and hands that down
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True, **heeds) as started:  # type: ignore[call-overload]
        try:
            while not any((tmp_path / "tree" / ".evo" / "attempts").glob("exp_0000/1/supervisor.json")):
                assert started.poll() is None, started.communicate()
                time.sleep(0.05)
            started.send_signal(signal.SIGINT)
            _, said = started.communicate(timeout=30)
        finally:
            started.kill()
    lines = said.splitlines()
    assert (started.returncode, lines[-1]) == (130, "interrupted")
    assert str(tmp_path) in lines[0]
    assert evo("status", cwd=tmp_path / "tree").data["experiments"] == 1
    deadline = time.monotonic() + 20
    while found := processes_of(tmp_path / "tree"):
        assert time.monotonic() < deadline, f"still running: {found}"
        time.sleep(0.1)


def test_the_end_says_so_when_nothing_was_certified() -> None:
    """Honest words, and no number out of a vault that stays shut."""
    root = TreeNodeView("exp_0000", None, "committed", 0.39, "the base", "base", se=0.03)
    worse = CertificateView("exp_0000", False, 1, "certify")
    view = DemoView("/somewhere", [root], {}, {}, None, None, {"exp_0001": worse}, None, 9.0, "nothing was certified")
    text = "\n".join(block.text for block in render(view) if hasattr(block, "text"))
    assert "nothing was certified" in text
    assert "vault  " not in text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    home = tmp_path_factory.mktemp("demo")
    return home / "tree", evo("demo", home / "tree", cwd=home, timeout=LONGEST_S + 60)


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_S + 90)
def test_the_demo_ends_with_a_certificate_and_a_vault_number(finished: tuple[Path, Answer]) -> None:
    """Offline and without a GPU; a commit, a number with its interval, a crash, a setback, in six minutes."""
    root, answer = finished
    assert answer.code == 0, answer.err
    data = answer.data
    assert data["workspace"] == str(root)
    assert data["seconds"] <= LONGEST_S
    nodes = {node["id"]: node for node in data["experiments"]}
    assert len(nodes) >= 7
    assert data["certificate"]["passed"] is True
    assert nodes[data["committed"]]["state"] == "committed"
    vault = data["vault"]
    assert vault["n"] == 120
    assert 0 <= vault["low"] < vault["mean"] < vault["high"] <= 1 or vault["mean"] == 1
    assert vault["mean"] > nodes["exp_0000"]["score"]
    assert [node["id"] for node in nodes.values() if node["state"] == "failed"] == list(data["failures"])
    assert "max_seq_length" in next(iter(data["failures"].values()))
    children = [node for node in nodes.values() if node["parent"]]
    assert any(is_worse(root, node, nodes[node["parent"]]) for node in children if node["state"] == "open")
    better = [node for node in children if node["score"] is not None and node["score"] > nodes["exp_0000"]["score"]]
    assert {"sft", "dpo", "grpo", "rft"} <= {node["recipe"] for node in better}
    looped = [pick["experiment"] for pick in data["loop"]["picks"]]
    assert len(looped) == data["loop"]["experiments"] == demo.SEARCH.experiments
    assert all(nodes[name]["recipe"] == "sft" for name in looped)
    assert data["loop"]["expected_of_draws"] is not None, "beside the gain stands what chance would have given"
    assert data["loop"]["gain"] > 0
    assert set(data["picked_by"]) == set(nodes) - {"exp_0000", *looped}
    assert set(data["picked_by"].values()) == {"tree-ucb"}


def is_worse(root: Path, node: dict, parent: dict) -> bool:
    """By its score, or by its best mid-evaluation, which has spared it the rest."""
    if node["score"] is None:
        return bool(evo("show", node["id"], cwd=root).data["regressed"])
    return bool(node["score"] < parent["score"])


@pytest.mark.slow
def test_without_a_terminal_it_tells_each_thing_in_a_line_of_stderr(finished: tuple[Path, Answer]) -> None:
    _, answer = finished
    lines = answer.err.splitlines()
    for number in range(1, len(demo.SCRIPT) + 1):
        about = [line for line in lines if line.startswith(f"exp_{number:04d} ")]
        assert len(about) == 2, f"one line when it branches, one when it ends: {about}"
        assert "(tree-ucb)" in about[0]
    assert any(line.startswith("evo loop: ") for line in lines)
    assert "\x1b" not in answer.err
    assert lines[-1].startswith("the vault is open")


@pytest.mark.slow
def test_what_it_says_to_try_next_works(finished: tuple[Path, Answer]) -> None:
    """The workspace is kept and is an ordinary one."""
    root, answer = finished
    steps = [step["cmd"] for step in answer.document["next"]]
    assert steps[0] == f"cd {root}"
    assert len(steps) >= 3
    for step in steps[1:]:
        assert evo(*step.split()[1:], cwd=root).code == 0, step
    assert evo("fsck", cwd=root).code == 0
    assert evo("release", cwd=root).data["opened_now"] is False
