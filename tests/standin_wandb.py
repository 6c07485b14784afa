"""A loopback server that speaks as much of wandb's wire format as its client asks for: runs, their history, artifacts.

It keeps what arrives and serves nobody but this machine. A run's history is a file whose lines are written at the
offset that the client names, as on the real server.
"""

from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Kept:
    """What the server was told, by run."""

    def __init__(self) -> None:
        self.heads: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, dict[int, dict[str, Any]]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}
        self.artifacts: list[str] = []
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    def history(self, run: str) -> list[dict[str, Any]]:
        return [row for _, row in sorted(self.lines.get(run, {}).items())]


class Standin(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kept = Kept()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that ends in the middle of a request is no fault here."""

    def answer(self, name: str, told: dict[str, Any]) -> dict[str, Any]:
        """The `data` of one GraphQL reply. A query without a name asks about a project that is not there."""
        self.kept.asked.append(name or "unnamed")
        viewer = {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        manifest = {"artifactManifest": {"id": "m", "file": self._file("manifest")}}
        fixed: dict[str, dict[str, Any]] = {
            "Viewer": {"viewer": viewer},
            "ServerFeaturesQuery": {"serverInfo": {"features": []}},
            "CreateArtifactManifest": {"createArtifactManifest": manifest},
            "CommitArtifact": {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}},
        }
        made = {
            "UpsertBucket": self._upsert,
            "RunResumeStatus": self._resume,
            "CreateArtifact": self._artifact,
            "CreateArtifactFiles": self._artifact_files,
            "CreateRunFiles": self._run_files,
        }
        return made[name](told) if name in made else fixed.get(name, {"project": None})

    def _artifact(self, told: dict[str, Any]) -> dict[str, Any]:
        self.kept.artifacts.append(told["input"]["artifactCollectionName"])
        artifact = {"id": "a", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _artifact_files(self, told: dict[str, Any]) -> dict[str, Any]:
        names = [entry["name"] for entry in told["input"]["artifactFiles"]]
        edges = [{"node": self._file(entry) | {"artifact": {"id": "a"}}} for entry in names]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _run_files(self, told: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": entry, "uploadUrl": self._file(entry)["uploadUrl"]} for entry in told["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _upsert(self, told: dict[str, Any]) -> dict[str, Any]:
        name = told["name"]
        is_new = name not in self.kept.heads
        head = self.kept.heads.setdefault(name, {})
        head.update({key: value for key, value in told.items() if value is not None})
        if told.get("config"):
            self.kept.configs[name] = {key: entry["value"] for key, entry in json.loads(told["config"]).items()}
        project = {"id": "p", "name": head["project"], "entity": {"id": "e", "name": "me"}}
        bucket = {"id": f"id-{name}", "name": name, "displayName": head.get("displayName"), "config": "{}"}
        bucket |= {"description": None, "sweepName": None, "project": project, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def _resume(self, told: dict[str, Any]) -> dict[str, Any]:
        name = told["name"]
        if name not in self.kept.heads:
            return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}, "bucket": None}}
        rows = self.kept.history(name)
        config = {key: {"value": value} for key, value in self.kept.configs.get(name, {}).items()}
        bucket = {
            "id": f"id-{name}", "name": name, "projectId": 1, "createdAt": "2026-11-01T10:00:00", "tags": [],
            "summaryMetrics": json.dumps(self.kept.summaries.get(name, {})), "displayName": name,
            "logLineCount": 0, "historyLineCount": len(rows), "eventsLineCount": 0, "config": json.dumps(config),
            "historyTail": json.dumps([json.dumps(rows[-1])] if rows else []), "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": 1}),
        }  # fmt: skip
        return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}, "bucket": bucket}}

    def _file(self, name: str) -> dict[str, Any]:
        place = f"{self.url}/upload/{name}"
        return {
            "id": "f", "name": name, "displayName": name, "uploadUrl": place, "uploadHeaders": [],
            "storagePath": name, "uploadMultipartUrls": None,
        }  # fmt: skip

    def stream(self, run: str, told: dict[str, Any]) -> None:
        files = told.get("files") or {}
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        kept = self.kept.lines.setdefault(run, {})
        for number, line in enumerate(history["content"], start=history["offset"]):
            kept[number] = json.loads(line)
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            self.kept.summaries[run] = json.loads(line)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Standin

    def do_POST(self) -> None:
        body = self._body()
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if self.path == "/graphql":
            asked = json.loads(body)
            told = asked.get("variables") or {}
            self._say({"data": self.server.answer(asked.get("operationName") or "", told)})
        elif stream is not None:
            self.server.stream(stream[1], json.loads(body))
            self._say({"limits": {}})
        else:
            self._say({})

    def do_PUT(self) -> None:
        self.server.kept.files[self.path.removeprefix("/upload/")] = self._body()
        self._say({})

    def do_GET(self) -> None:
        self._say({})

    def _body(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _say(self, data: dict[str, Any]) -> None:
        content = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@contextmanager
def standin() -> Iterator[Standin]:
    server = Standin()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
