"""A whole tree in wandb, read back with wandb's own reader, and what is never in it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tracking
from growing import failed, planted, scored
from tracked import TRAIN, run, status, sync, training, wait_for_mirror, workspace
from workspaces import evo, new

from evo.session import open_session
from evo.store import experiments

pytest.importorskip("wandb", reason="wandb is not installed: pip install 'evo-tree[wandb]'")

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0 ─ 1 (good) ─ 2 (worse), 3 (crashed), 4 (pending); mirrored offline while it grew."""
    root = workspace(tmp_path_factory.mktemp("grown"), "track=wandb")
    one = new(root, training(root, skill="0.7"), "learn <slowly> & well", "--parent", "exp_0000")
    assert run(root, one).code == 0
    for skill, words in (("0.1", "too fast"), ("crash", "does not even start")):
        run(root, new(root, training(root, skill=skill), words, "--parent", one))
    new(root, training(root, skill="0.9"), "later", "--parent", one)
    wait_for_mirror(root)
    return root


def test_a_whole_tree_reads_back_with_wandbs_own_reader(grown: Path) -> None:
    """A23, A24: each experiment that ran has parent, hypothesis, recipe, score and curve; its run is named after it."""
    runs = tracking.offline_runs(grown / ".evo" / "track")
    nodes = {node["id"]: node for node in evo("tree", cwd=grown).data["nodes"]}
    tree = status(grown)["tree"]
    assert set(runs) == {f"{tree}-exp-000{i}-a1" for i in range(4)} | {f"{tree}-summary"}
    for identifier in ("exp_0000", "exp_0001", "exp_0002", "exp_0003"):
        shown = evo("show", identifier, cwd=grown).data
        path = runs[f"{tree}-{identifier.replace('_', '-')}-a1"]
        told = tracking.inspect(path)
        (head,) = tracking.records(path, "run")
        assert (told["name"], told["project"], told["state"]) == (identifier, "ws", "finished")
        assert (head["run_group"], head["job_type"]) == (tree, shown["recipe"]["technique"])
        config = told["config"]
        assert (config["parent"], config["hypothesis"]) == (shown["parent"], shown["hypothesis"])
        assert (config["recipe"], config.get("params", {})) == (shown["recipe"]["name"], shown["recipe"]["params"])
        assert config["depth"] == nodes[identifier]["depth"]
        assert told["summary"]["state"] == shown["state"]
        mean = None if shown["score"] is None else pytest.approx(shown["score"]["mean"])
        assert told["summary"].get("score") == told["summary"].get("eval/score") == mean
        losses = [] if identifier == "exp_0000" else [(step, pytest.approx(1 / step)) for step in range(1, 6)]
        assert tracking.curve(path, "train/loss") == losses


def test_the_gain_over_the_parent_the_failure_and_the_lineage_are_there(grown: Path) -> None:
    runs = tracking.offline_runs(grown / ".evo" / "track")
    by_name = {tracking.inspect(path)["name"]: path for path in runs.values()}
    scores = {node["id"]: node["score"] for node in evo("tree", cwd=grown).data["nodes"]}
    one = tracking.inspect(by_name["exp_0001"])["summary"]
    assert one["delta"] == pytest.approx(scores["exp_0001"] - scores["exp_0000"])
    assert one["training/steps"] == 5
    crashed = tracking.inspect(by_name["exp_0003"])["summary"]
    assert (crashed["outcome"], crashed["failure"]) == ("failed", "nonzero_exit")
    (weights,) = tracking.records(by_name["exp_0001"], "artifact")
    assert weights["type"] == "model"
    (entry,) = weights["manifest"]["contents"]
    assert entry["ref"].startswith("evo://")  # by reference: no byte of the weights is sent
    assert json.loads(weights["metadata"])["parent"] == "exp_0000"
    assert not list(tracking.records(by_name["exp_0003"], "artifact"))
    metrics = [(m.get("glob_name"), m.get("step_metric")) for m in tracking.records(by_name["exp_0001"], "metric")]
    assert ("train/*", "train/step") in metrics


def test_one_run_shows_the_tree(grown: Path) -> None:
    tree = status(grown)["tree"]
    path = tracking.offline_runs(grown / ".evo" / "track")[f"{tree}-summary"]
    rows = {row["id"]: row for row in tracking.table(path, "nodes")}
    nodes = evo("tree", cwd=grown).data["nodes"]
    assert {(node["id"], node["parent"], node["state"], node["score"]) for node in nodes} == {
        (row["id"], row["parent"], row["state"], row["score"]) for row in rows.values()
    }
    assert rows["exp_0001"]["hypothesis"] == "learn <slowly> & well"
    (drawing,) = path.glob("files/media/html/tree_*.html")
    assert all(node["id"] in drawing.read_text() for node in nodes)


def test_telling_again_changes_nothing_until_something_has_changed(grown: Path) -> None:
    folder, tree = grown / ".evo" / "track", status(grown)["tree"]
    before = tracking.offline_runs(folder)
    assert sync(grown).data["pages"] == 0
    assert tracking.offline_runs(folder) == before
    assert evo("discard", "exp_0002", "--reason", "worse", cwd=grown).code == 0
    assert status(grown)["owed"] == 1
    assert sync(grown).data["pages"] == 2  # the page of the experiment, and of the tree
    after = tracking.offline_runs(folder)
    two = f"{tree}-exp-0002-a1"
    assert {name for name in after if after[name] != before[name]} == {two, f"{tree}-summary"}
    assert tracking.inspect(after[two])["summary"]["state"] == "discarded"
    assert len(tracking.curve(after[two], "train/loss")) == 5


def test_rebuilding_writes_every_page_again(grown: Path) -> None:
    before = tracking.offline_runs(grown / ".evo" / "track")
    answer = sync(grown, "--rebuild")
    assert (answer.data["pages"], answer.data["mode"]) == (5, "offline")
    after = tracking.offline_runs(grown / ".evo" / "track")
    assert {*after} == {*before}
    assert sorted(len(tracking.curve(path, "train/loss")) for path in after.values()) == [0, 0, 5, 5, 5]


def everything_under(folder: Path) -> bytes:
    """All bytes that a tracker has written, and wandb's own reading of its logs."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    read = [tracking.all_records(path).encode() for path in tracking.offline_runs(folder).values()]
    return b"\n".join(files + read)


def sealed_words(root: Path) -> list[bytes]:
    """The id and the question of each sealed item."""
    rows = [row for path in (root / ".evo" / "sealed").glob("*.jsonl") for row in rows_of(path)]
    words = []
    for row in rows:
        words += [str(row["id"]).encode(), (row.get("prompt") or row["messages"][-2]["content"]).encode()]
    assert len(words) > 80
    return words


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a mid slice and a vault, whose experiments are planted; nothing is trained in it."""
    shipped = REPOSITORY / "workspace_template" / "addition"
    folder = tmp_path_factory.mktemp("sums")
    gold = folder / "gold.jsonl"
    rows = rows_of(shipped / "gold.jsonl")
    named = [{**row, "id": f"gold-item-{i:05d}-of-sums"} for i, row in enumerate(rows)]
    gold.write_text("".join(json.dumps(row) + "\n" for row in named))
    words = ["--model", shipped / "model", "--gold", gold, "--train", shipped / "train.jsonl", "--split", "50/30/20"]
    answer = evo("init", folder / "ws", *words, cwd=folder)
    assert answer.code == 0, answer.out + answer.err
    return folder / "ws"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def question(row: dict[str, Any]) -> str:
    return str(row.get("prompt") or row["messages"][-2]["content"])


def leave_mid(root: Path, experiment: str, step: int, rows: list[dict[str, Any]], mean: float) -> None:
    mid = root / ".evo" / "attempts" / experiment / "1" / "mid"
    mid.mkdir(parents=True, exist_ok=True)
    (mid / f"{step:06d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = {"step": step, "mean": mean, "se": 0.05, "n": len(rows), "seconds": 0.5, "delta": 0.1, "delta_se": 0.04}
    (mid / f"{step:06d}.json").write_text(json.dumps(answer))


def test_mid_evaluations_with_trajectories_and_never_a_sealed_item(sums: Path) -> None:
    """A10: each mid-evaluation is in the tracker, with its items; nothing of held-out or vault is, by text or id."""
    mid = rows_of(sums / "data" / "mid.jsonl")
    sealed = rows_of(sums / ".evo" / "sealed" / "heldout.jsonl")
    with open_session(sums) as session:
        experiment = scored(session.db, planted(session.db))
        failed(session.db, planted(session.db, parent=experiment))
        other = failed(session.db, planted(session.db, parent=experiment))
        experiments.move(session.db, other, "contaminated", reason=f"train.jsonl:3 is {sealed[0]['id']}", class_="data")
    for step, mean in ((100, 0.5), (200, 0.625)):
        shown = [{"item": row["id"], "sample": 0, "score": mean, "output": f"said at {step}"} for row in mid]
        stray = [{"item": row["id"], "sample": 0, "score": 1.0, "output": question(row)} for row in sealed]
        leave_mid(sums, experiment, step, shown + stray, mean)
    answer = sync(sums, "--offline")
    assert answer.data["pages"] == 4, answer.out
    path = tracking.offline_runs(sums / ".evo" / "track")[f"{status(sums)['tree']}-{experiment.replace('_', '-')}-a1"]
    assert tracking.curve(path, "mid/score") == [(100, 0.5), (200, 0.625)]
    assert tracking.curve(path, "mid/delta") == [(100, 0.1), (200, 0.1)]
    rows = tracking.table(path, "mid/items")
    assert len(rows) == 2 * len(mid)
    assert {row["item"] for row in rows} == {row["id"] for row in mid}
    assert {row["completion"] for row in rows} == {"said at 100", "said at 200"}
    assert {row["prompt"] for row in rows} == {question(row) for row in mid}
    written = everything_under(sums / ".evo" / "track")
    assert mid[0]["id"].encode() in written  # so the search finds what is there
    assert [word for word in sealed_words(sums) if word in written] == []


def test_nothing_sealed_is_written_while_a_tree_grows(grown: Path) -> None:
    written = everything_under(grown / ".evo" / "track")
    rows = rows_of(grown / ".evo" / "sealed" / "heldout.jsonl")
    assert b"learn <slowly> & well" in written
    assert [question(row) for row in rows if question(row).encode() in written] == []
    assert b"a-run's-own-words" not in written  # text is no number


def test_a_script_that_logs_to_wandb_by_itself_is_not_instrumented_twice(tmp_path: Path) -> None:
    """A23: its curve is its own; the mirror adds what only the tree knows."""
    root = workspace(tmp_path, "track=wandb")
    own = "import wandb\nwith wandb.init() as run:\n    run.log({'train/step': 1, 'own/loss': 3.0})\n"
    (tmp_path / "shared" / "train.py").write_text(own + TRAIN)
    experiment = new(root, training(root, skill="0.7"), "logs by itself", "--parent", "exp_0000")
    assert run(root, experiment).code == 0
    wait_for_mirror(root)
    name = f"{status(root)['tree']}-exp-0001-a1"
    (theirs,) = (root / ".evo/attempts/exp_0001/1/home/wandb").glob(f"offline-run-*-{name}")
    assert tracking.curve(theirs, "own/loss") == [(1, 3.0)]
    (head,) = tracking.records(theirs, "run")
    assert (head["display_name"], head["run_group"], head["project"]) == ("exp_0001", status(root)["tree"], "ws")
    ours = tracking.offline_runs(root / ".evo" / "track")[name]
    assert tracking.curve(ours, "train/loss") == []
    assert tracking.inspect(ours)["summary"]["score"] > 0.5


def test_a_run_is_shown_while_it_trains(tmp_path: Path) -> None:
    root = workspace(tmp_path, "track=wandb")
    assert run(root, "exp_0000", EVO_TRACK="none").code == 0
    experiment = new(root, training(root, skill="0.7", steps=50, pause=0.4), "slow", "--parent", "exp_0000")
    assert evo("run", experiment, "--detach", cwd=root, HOME=str(tmp_path)).code == 0
    deadline = time.monotonic() + 15
    while not (begun := list((root / ".evo/track/wandb").glob("offline-run-*-exp-0001-a1"))):
        assert time.monotonic() < deadline, (root / ".evo/track/tracker.log").read_text()
        time.sleep(0.1)
    assert status(root)["is_running"]
    assert evo("abort", experiment, cwd=root, HOME=str(tmp_path)).code == 0
    wait_for_mirror(root)
    assert len(begun) == 1
