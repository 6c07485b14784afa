"""`hf://` sources, read by the real loader from a hub on the loopback interface."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("datasets")

ROWS = b'{"q": "2+2=", "a": "4"}\n{"q": "3+3=", "a": "6"}\n'
COMMIT = "a" * 40
RESOLVE = """
import sys
from pathlib import Path
from evo.config import DataSpec, SourceSpec
from evo.data.mix import Place, resolve
from evo.errors import EvoError
source = SourceSpec("hf://owner/name@v1.0:train", map={"prompt": "q", "target": "a"})
try:
    print(resolve(DataSpec([source]), Place(Path.cwd(), Path.cwd()), seed=1).path.read_text(), end="")
except EvoError as error:
    print(type(error).__name__, error, error.hint, sep=" | ")
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """One dataset repository with one file."""

    def _reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in (f"/api/datasets/owner/name/revision/{revision}" for revision in ("v1.0", COMMIT)):
            self._reply(200, json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/datasets/owner/name/tree/{COMMIT}":
            entry = {"type": "file", "path": "train.jsonl", "size": len(ROWS), "oid": "b" * 40}
            self._reply(200, json.dumps([entry]).encode())
        elif path.endswith(f"/{COMMIT}/train.jsonl"):
            self._reply(200, ROWS, ETag=f'"{hashlib.sha256(ROWS).hexdigest()}"')
        else:
            self._reply(404, X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def resolved(folder: Path, **env: str) -> str:
    root = Path(__file__).parents[2]
    known = {**os.environ, "HF_HOME": str(folder / "hf"), "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "0", **env}
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE], cwd=folder, env=known, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pinned_revision_becomes_rows(hub, tmp_path):
    rows = [json.loads(line) for line in resolved(tmp_path, HF_ENDPOINT=hub).splitlines()]
    assert rows == [{"prompt": "2+2=", "target": "4"}, {"prompt": "3+3=", "target": "6"}]


def test_without_a_network_the_way_out_is_named(tmp_path):
    said = resolved(tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith(
        "NotFound | recipe.yaml, field data.train[0].source: hf://owner/name@v1.0:train cannot be loaded"
    )
    assert "export it to JSONL and name that file" in said
