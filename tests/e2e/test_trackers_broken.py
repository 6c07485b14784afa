"""Every way in which wandb can be absent or broken: a normal run, within two seconds of its time without wandb."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tracking
from tracked import mirrors, newest, run, status, sync, training, wait_for_mirror, workspace
from workspaces import Answer, clean_environment, evo, new

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'evo-tree[wandb]'")

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"
MARGIN_S = 2.0


def seconds_of_a_run(root: Path, **env: str) -> tuple[float, Answer]:
    setting = training(root, skill="0.6", steps=6, pause=0.1)
    experiment = new(root, setting, f"tried at {time.monotonic_ns()}", "--parent", "exp_0000", "--seed", unused_seed())
    began = time.monotonic()
    answer = run(root, experiment, **env)
    return time.monotonic() - began, answer


def unused_seed() -> str:
    """Content and seed of a finished experiment are not run again."""
    return str(time.monotonic_ns() % 2_000_000_000)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A workspace, and how long a run takes in it without a tracker."""
    root = workspace(tmp_path_factory.mktemp("plain"), "gate.mode=none")
    assert run(root, "exp_0000", EVO_TRACK="none").code == 0
    return root, min(seconds_of_a_run(root, EVO_TRACK="none")[0] for _ in range(2))


def normal(plain: tuple[Path, float], **env: str) -> Answer:
    """The answer of a run that is as if there were no tracker."""
    root, usual = plain
    took, answer = seconds_of_a_run(root, **env)
    assert answer.code == 0, answer.out + answer.err
    assert answer.data["score"]["mean"] > 0.4
    assert took - usual < MARGIN_S, f"{took:.2f} s against {usual:.2f} s"
    return answer


def assert_offline(root: Path) -> None:
    """The newest run was written offline after all, whole."""
    wait_for_mirror(root, patience_s=120)
    name = f"{status(root)['tree']}-{newest(root).replace('_', '-')}-a1"
    path = tracking.offline_runs(root / ".evo" / "track")[name]
    assert len(tracking.curve(path, "train/loss")) == 6
    assert tracking.inspect(path)["summary"]["score"] > 0.4


@contextmanager
def hanging_server() -> Iterator[int]:
    """Accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@contextmanager
def refusing_server() -> Iterator[int]:
    """Answers everything with 401, as for a key that it does not know."""

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def online_at(port: int) -> dict[str, str]:
    return {"EVO_TRACK": "wandb", "WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}


def test_no_login(plain: tuple[Path, float]) -> None:
    assert normal(plain, EVO_TRACK="wandb").document["warnings"] == []
    assert_offline(plain[0])


@pytest.mark.slow
def test_no_network(plain: tuple[Path, float]) -> None:
    normal(plain, EVO_TRACK="auto", WANDB_API_KEY=KEY, WANDB_BASE_URL="http://nowhere.invalid")
    assert_offline(plain[0])
    assert "wandb (online)" in status(plain[0], EVO_TRACK="wandb")["problem"]


@pytest.mark.slow
def test_a_dead_server(plain: tuple[Path, float]) -> None:
    normal(plain, **online_at(closed_port()))
    assert_offline(plain[0])


def test_a_server_that_refuses_the_key(plain: tuple[Path, float]) -> None:
    with refusing_server() as port:
        normal(plain, **online_at(port))
        assert_offline(plain[0])


@pytest.mark.slow
def test_a_hanging_server(plain: tuple[Path, float]) -> None:
    with hanging_server() as port:
        normal(plain, **online_at(port))
        assert_offline(plain[0])


def test_a_full_disk(plain: tuple[Path, float]) -> None:
    """The disk that a tracker writes to is full from the start; the run and its score lie elsewhere."""
    root = plain[0]
    track = root / ".evo" / "track"
    track.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", track], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        fill(track / "ballast")
        answer = normal(plain, EVO_TRACK="wandb")
        assert all("not mirrored" in warning for warning in answer.document["warnings"])
        wait_for_mirror(root)
        refused = sync(root, EVO_TRACK="wandb")
        assert refused.code == 4, refused.out + refused.err
    finally:
        subprocess.run(["umount", "-l", track], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            try:
                file.write(b"x" * 4096)
            except OSError:
                return
    raise AssertionError("the disk is not full")


def test_a_library_that_breaks_when_it_is_imported(plain: tuple[Path, float], tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "__init__.py").write_text("raise ImportError('built for another Python')\n")
    normal(plain, EVO_TRACK="wandb", PYTHONPATH=str(tmp_path))
    wait_for_mirror(plain[0])
    assert "built for another Python" in status(plain[0], EVO_TRACK="wandb")["problem"]


WITHOUT = """\
import sys
sys.path[:0] = [{repository!r}, {site!r}]
from evo.cli.app import main
main()
"""


def test_a_named_tracker_that_is_not_installed_is_one_warning(plain: tuple[Path, float], tmp_path: Path) -> None:
    """A23: the pip line is told, and nothing is installed. Every package but wandb is there."""
    for path in Path(wandb.__file__).parents[1].iterdir():
        if not path.name.startswith("wandb"):
            (tmp_path / path.name).symlink_to(path)
    script = WITHOUT.format(repository=str(REPOSITORY), site=str(tmp_path))
    setting = training(plain[0], skill="0.6")
    experiment = new(plain[0], setting, "without the library", "--parent", "exp_0000", "--seed", unused_seed())
    argv = [sys.executable, "-S", "-c", script, "run", experiment, "--json"]
    env = clean_environment(EVO_TRACK="wandb")
    done = subprocess.run(argv, cwd=plain[0], env=env, capture_output=True, text=True, timeout=120)
    document = json.loads(done.stdout)
    assert document["ok"], done.stderr
    (warning,) = document["warnings"]
    assert warning.endswith("pip install 'evo-tree[wandb]'")


def test_a_mirror_that_is_killed_is_made_up_for(plain: tuple[Path, float]) -> None:
    """Killed in the middle of a run: the run is as always, and the next sync writes the whole page."""
    root = plain[0]
    setting = training(root, skill="0.6", steps=6, pause=0.5)
    experiment = new(root, setting, "its mirror dies", "--parent", "exp_0000", "--seed", unused_seed())
    killed: list[int] = []
    killer = threading.Thread(target=kill_mirror, args=(root, experiment, killed))
    killer.start()
    answer = run(root, experiment, EVO_TRACK="wandb")
    killer.join()
    assert answer.code == 0, answer.out
    assert killed
    wait_for_mirror(root)
    assert sync(root, EVO_TRACK="wandb").code == 0
    assert_offline(root)


def kill_mirror(root: Path, experiment: str, killed: list[int]) -> None:
    """Kill it as soon as it has begun the page."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if list((root / ".evo/track/wandb").glob(f"offline-run-*-{experiment.replace('_', '-')}-a1")):
            for pid in mirrors(root):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            return
        time.sleep(0.05)


def written(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in (root / ".evo" / "track").rglob("*"))


def test_without_a_tracker_nothing_is_started_or_written(plain: tuple[Path, float]) -> None:
    root = plain[0]
    before = written(root)
    _, answer = seconds_of_a_run(root, EVO_TRACK="auto")
    assert answer.document["warnings"] == []
    assert mirrors(root) == []
    assert written(root) == before


def test_status_says_what_is_used_and_why_and_writes_nothing(plain: tuple[Path, float]) -> None:
    root = plain[0]
    before = written(root)
    assert status(root, EVO_TRACK="auto")["tracker"] == "none"
    told = status(root, WANDB_API_KEY=KEY)
    assert (told["tracker"], told["mode"], told["why"]) == ("wandb", "online", "WANDB_API_KEY is set")
    told = status(root, MLFLOW_TRACKING_URI="file:/nowhere")
    assert (told["tracker"], told["owed"] > 0) == ("mlflow", True)
    words = evo("wandb", "status", cwd=root, json_=False, HOME=str(root.parent), EVO_TRACK="wandb")
    assert "project  ws" in words.out
    assert sync(root, EVO_TRACK="none").code == 2
    assert written(root) == before
