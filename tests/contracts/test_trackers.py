"""The contract of a tracker, kept by every member in a process of its own and read back with its own reader."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tracking

from evo.registry import TABLES
from evo.track import wire
from evo.track.base import Artifact, Page, Point, Table, TrackerDown
from evo.track.wire import Line

PAGE = Page(
    "sums-1f-exp-0001-a1", "sums", "sums-1f", "exp_0001", "sft",
    {"parent": "exp_0000", "depth": 1, "hypothesis": "more <data>", "params": {"lr": 1e-3}},
    uses=["sums-1f-exp_0000"], started_at="2026-11-01T10:00:00.000Z",
)  # fmt: skip
POINTS = [Point(f"2026-11-01T10:00:0{k}.000Z", {"train/step": k, "train/loss": 1 / k}, k) for k in (1, 2, 3)]
MID = Point("2026-11-01T10:00:04.000Z", {"train/step": 3, "mid/score": 0.5}, 3)
ITEMS = Table("mid/items", ["prompt", "completion", "reward"], [["2+2", "four", 1.0], ["2+3", None, 0.0]], 3)
WEIGHTS = Artifact("sums-1f-exp_0001", "evo://sums-1f/exp_0001/1", {"weights_sha256": "c0ffee"})


class Shown(NamedTuple):
    """What a page shows: losses by step, numbers of the summary, words that stand somewhere on it."""

    losses: list[tuple[int, float]]
    score: float | None
    state: str | None
    text: str


def read_wandb(folder: Path) -> list[Shown]:
    found = []
    for run in tracking.offline_runs(folder).values():
        told = tracking.inspect(run)
        losses = [(int(step), loss) for step, loss in tracking.curve(run, "train/loss")]
        tables = json.dumps(tracking.table(run, "mid/items"))
        pictures = "".join(path.read_text() for path in run.glob("files/media/html/*.html"))
        text = json.dumps(told) + json.dumps(list(tracking.records(run, "artifact"))) + tables + pictures
        found.append(Shown(losses, told["summary"].get("score"), told["summary"].get("state"), text))
    return found


READ_TRACKIO = """\
import json, sys, trackio
from trackio.sqlite_storage import SQLiteStorage
found = []
for run in trackio.Api().runs("sums"):
    logs = SQLiteStorage.get_logs("sums", run.name, run_id=run.id)
    found.append({"name": run.name, "config": run.config, "logs": logs})
print(json.dumps(found))
"""


def read_trackio(folder: Path) -> list[Shown]:
    env = environment(folder)
    out = subprocess.run(
        [sys.executable, "-P", "-c", READ_TRACKIO], env=env, capture_output=True, text=True, check=True
    )
    found = []
    for run in json.loads(out.stdout.splitlines()[-1]):
        losses = [(int(row["step"]), row["train/loss"]) for row in run["logs"] if "train/loss" in row]
        last = run["logs"][-1]
        media = "".join(path.read_text() for path in folder.glob("trackio/media/**/*.html"))
        found.append(Shown(losses, last.get("summary/score"), last.get("summary/state"), json.dumps(run) + media))
    return found


READ_MLFLOW = """\
import json, pathlib
from mlflow.tracking import MlflowClient
import os
client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
found = []
for run in client.search_runs([client.get_experiment_by_name("sums").experiment_id]):
    losses = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train/loss")]
    files = "".join(p.read_text() for p in pathlib.Path(client.download_artifacts(run.info.run_id, "")).rglob("*.*"))
    found.append([losses, run.data.metrics.get("score"), run.data.tags.get("evo.state"),
                  json.dumps([run.data.tags, run.data.params, run.data.metrics, run.info.run_name]) + files])
print(json.dumps(found))
"""


def read_mlflow(folder: Path) -> list[Shown]:
    env = environment(folder)
    out = subprocess.run([sys.executable, "-P", "-c", READ_MLFLOW], env=env, capture_output=True, text=True, check=True)
    return [
        Shown([(step, value) for step, value in losses], *rest)
        for losses, *rest in json.loads(out.stdout.splitlines()[-1])
    ]


READERS = {"wandb": read_wandb, "trackio": read_trackio, "mlflow": read_mlflow}


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "TRACKIO_", "MLFLOW_"))}
    return kept | {
        "HOME": str(folder), "TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1",
        "MLFLOW_TRACKING_URI": (folder / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
    }  # fmt: skip


@pytest.fixture(params=sorted(TABLES["tracker"]))
def name(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: pip install 'evo-tree[{request.param}]'")
    return str(request.param)


class Place(NamedTuple):
    """A folder with one kind of tracker in it."""

    name: str
    folder: Path

    def line(self) -> Line:
        log = self.folder / "log"
        return Line(self.name, "offline", self.folder, environ=environment(self.folder), log=log)

    def pages(self) -> list[Shown]:
        return READERS[self.name](self.folder)


@pytest.fixture
def place(name: str, tmp_path: Path) -> Iterator[Place]:
    yield Place(name, tmp_path)
    assert "Traceback" not in (tmp_path / "log").read_text()


def write(line: Line, *, points: list[Point], state: str, **changes: Any) -> None:
    """A whole page."""
    page = Page(**({**PAGE.__dict__} | changes))
    line.ask("begin", page=page)
    line.ask("log", run=page.id, points=points)
    line.ask("finish", run=page.id, summary={"score": 0.75, "state": state, "is_noop": False}, artifact=WEIGHTS)


def test_a_page_holds_what_it_was_told(place: Place) -> None:
    line = place.line()
    line.ask("begin", page=PAGE)
    line.ask("log", run=PAGE.id, points=POINTS)
    line.ask("log", run=PAGE.id, points=[MID])
    line.ask("table", run=PAGE.id, table=ITEMS)
    line.ask(
        "picture", run=PAGE.id, name="tree", svg="<svg xmlns='http://www.w3.org/2000/svg'><text>drawn</text></svg>"
    )
    line.ask("finish", run=PAGE.id, summary={"score": 0.75, "state": "open", "delta": None}, artifact=WEIGHTS)
    line.close()
    (shown,) = place.pages()
    assert shown.losses == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert (shown.score, shown.state) == (0.75, "open")
    words = ("exp_0000", "more <data>", "0.001", "mid/score", "four", "drawn", WEIGHTS.uri, "exp_0001")
    assert [word for word in words if word not in shown.text] == []


def test_a_page_that_is_written_again_is_replaced(place: Place) -> None:
    for state, points in (("open", POINTS), ("committed", POINTS[:2])):
        line = place.line()
        write(line, points=points, state=state)
        line.close()
    (shown,) = place.pages()
    assert [step for step, _ in shown.losses] == [1, 2]
    assert shown.state == "committed"


def test_pages_may_be_open_at_once(place: Place) -> None:
    """Two experiments train at the same time: neither ends the other's page."""
    line = place.line()
    other = Page(**({**PAGE.__dict__} | {"id": "sums-1f-exp-0002-a1", "name": "exp_0002"}))
    line.ask("begin", page=PAGE)
    line.ask("begin", page=other)
    line.ask("log", run=other.id, points=POINTS[:1])
    line.ask("log", run=PAGE.id, points=POINTS)
    line.ask("finish", run=other.id, summary={"score": 0.1}, artifact=None)
    line.ask("log", run=PAGE.id, points=[MID])
    line.ask("finish", run=PAGE.id, summary={"score": 0.2}, artifact=None)
    line.close()
    losses = sorted(len(shown.losses) for shown in place.pages())
    assert losses == [1, 3]


def test_a_page_that_is_cut_off_is_closed_and_written_anew(place: Place) -> None:
    line = place.line()
    line.ask("begin", page=PAGE)
    line.ask("log", run=PAGE.id, points=POINTS)
    line.close()
    line = place.line()
    write(line, points=POINTS, state="open")
    line.close()
    (shown,) = place.pages()
    assert (len(shown.losses), shown.state) == (3, "open")


@pytest.mark.parametrize("name", ["mlflow", "trackio"], indirect=True)
def test_a_page_can_be_added_to(place: Place) -> None:
    """Only the standing changes after the end: the curve is not written again. (wandb: online alone.)"""
    line = place.line()
    write(line, points=POINTS, state="open")
    write(line, points=[], state="committed", is_added_to=True)
    line.close()
    (shown,) = place.pages()
    assert (len(shown.losses), shown.state) == (3, "committed")


def test_an_error_ends_the_process_and_names_itself(name: str, tmp_path: Path) -> None:
    line = Line(name, "offline", tmp_path, environ=environment(tmp_path), log=tmp_path / "log")
    with pytest.raises(TrackerDown, match="its process ended"):
        line.ask("log", run="never-begun", points=POINTS)
    line.kill()
    assert "never-begun" in (tmp_path / "log").read_text()


def test_a_process_that_hangs_is_given_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends at its limit whatever the process does; so does the writing of more than a pipe holds."""
    monkeypatch.setattr(wire, "OTHERWISE_S", 1.0)
    line = Line(name, "offline", tmp_path, environ=environment(tmp_path), log=tmp_path / "log")
    os.kill(line.pid, signal.SIGSTOP)
    for svg in ("<svg/>", "<svg/>" * 100_000):
        began = time.monotonic()
        with pytest.raises(TrackerDown, match="no answer to 'picture' within 1 s"):
            line.ask("picture", run=PAGE.id, name="tree", svg=svg)
        assert time.monotonic() - began < 3
    line.kill()
    assert not Path(f"/proc/{line.pid}").exists()
