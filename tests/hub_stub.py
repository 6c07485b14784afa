"""A hub on loopback that speaks the Hugging Face hub's wire format: repositories, preupload, git LFS, commits."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ruamel.yaml import YAML

TOKEN = "hf_loopback_secret"


class Hub(ThreadingHTTPServer):
    """`files`: repository -> path -> content, as the last commit left them. `asked`: method and path, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.asked: list[str] = []
        self.refuse_commits = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        body, path = self._body(), self.path
        self.server.asked.append(f"PUT {path}")
        self.server.objects[hashlib.sha256(body).hexdigest()] = body
        self._send({} if path.endswith(hashlib.sha256(body).hexdigest()) else None)

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *words: object) -> None:
        pass

    def _answer(self) -> None:
        hub, path, body = self.server, self.path.partition("?")[0], self._body()
        hub.asked.append(f"{self.command} {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and path != "/api/validate-yaml":
            self._send({"error": f"Invalid credentials {self.headers.get('Authorization')}"}, 401)
        elif path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            is_new = repo not in hub.made
            hub.made.setdefault(repo, wanted)
            hub.files.setdefault(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
            self._send({"url": f"{hub.url}/{repo}"}, 200 if is_new else 409)
        elif path == "/api/validate-yaml":
            front = json.loads(body)["content"].split("---\n")[1]
            YAML(typ="safe").load(front)
            self._send({"errors": [], "warnings": []})
        elif path.endswith("/info/lfs/objects/batch"):
            self._send({"transfer": "basic", "objects": [self._object(one) for one in json.loads(body)["objects"]]})
        elif path == "/verify":
            self._send({} if json.loads(body)["oid"] in hub.objects else None)
        elif path.startswith("/api/models/"):
            owner, name, what = path.removeprefix("/api/models/").split("/")[:3]
            self._send(getattr(self, f"_{what}")(f"{owner}/{name}", body))
        else:
            self._send(None, 404)

    def _object(self, one: dict[str, Any]) -> dict[str, Any]:
        actions = {
            "upload": {"href": f"{self.server.url}/lfs/{one['oid']}"},
            "verify": {"href": f"{self.server.url}/verify"},
        }
        return {"oid": one["oid"], "size": one["size"], "actions": actions}

    def _tree(self, repo: str, _: bytes) -> object:
        files = self.server.files[repo].items()
        return [{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files]

    def _preupload(self, _: str, body: bytes) -> object:
        def mode(name: str) -> str:
            return "lfs" if name.endswith(".safetensors") else "regular"

        names = [file["path"] for file in json.loads(body)["files"]]
        return {"files": [{"path": name, "uploadMode": mode(name), "shouldIgnore": False} for name in names]}

    def _commit(self, repo: str, body: bytes) -> object:
        if self.server.refuse_commits:
            return None
        new = dict(self.server.files[repo])
        for line in body.decode().splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                self.server.messages.append(value["summary"])
            elif key == "file":
                new[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                new[value["path"]] = self.server.objects[value["oid"]]
            elif key == "deletedFile":
                del new[value["path"]]
        self.server.files[repo] = new
        oid = hashlib.sha1(body).hexdigest()
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{repo}/commit/{oid}"}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: object, status: int = 200) -> None:
        data = json.dumps(answer if answer is not None else {"error": "the stub says no"}).encode()
        self.send_response(status if answer is not None or status != 200 else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
