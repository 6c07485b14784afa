"""A stand-in for an interpreter with vLLM in it: it speaks the same wire format, and its "model" names its weights.

The answer to a prompt is `<8 hex digits of the weights' sha256>|<tokens of the prompt>` and an end token, so that a
test sees which weights answered. `trouble` in its folder holds words that change how it behaves; `requests.jsonl`
there lists what it was asked. Like vLLM it has a child process that does not notice when its parent is killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

SERVER = '''#!{python}
import collections, hashlib, json, os, socketserver, subprocess, sys, time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HERE = Path({here!r})
if sys.argv[1] == "-I":
    print(json.dumps([{version!r}, "2.13.0"]))
    sys.exit()
assert sys.argv[1:4] == ["-P", "-m", "vllm.entrypoints.openai.api_server"], sys.argv
named = dict(zip(sys.argv[4::1], sys.argv[5::1]))


def has(trouble):
    """Whether the word stands there; `word*2` is used up after two times."""
    path = HERE / "trouble"
    words = path.read_text().split() if path.exists() else []
    for place, word in enumerate(words):
        name, star, times = word.partition("*")
        if name == trouble:
            if star:
                words[place] = f"{{name}}*{{int(times) - 1}}" if int(times) > 1 else ""
                path.write_text(" ".join(words))
            return True
    return False


def digest(folder):
    files = [Path(folder) / name for name in ("adapter_model.safetensors", "model.safetensors")]
    return hashlib.sha256(next(file.read_bytes() for file in files if file.exists())).hexdigest()[:8]


if has("dies-at-start"):
    sys.exit("RuntimeError: there is no such device")
subprocess.Popen(["sleep", "600"])
base = Path(named["--model"])
vocabulary = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
loaded = {{named["--served-model-name"]: digest(base)}}
with open(HERE / "requests.jsonl", "a") as file:
    file.write(json.dumps(["/start", sys.argv]) + "\\n")


def complete(asked):
    if has("dies-on-completion"):
        os._exit(9)
    if asked["model"] not in loaded:
        return 404, {{"error": {{"message": f"The model `{{asked['model']}}` does not exist.", "code": 404}}}}
    choices = []
    for index, prompt in enumerate(asked["prompt"]):
        text = f"{{loaded[asked['model']]}}|{{len(prompt)}}" + (f"|{{asked['seed'] % 997}}" if "seed" in asked else "")
        tokens = [vocabulary[letter] for letter in text] + asked["stop_token_ids"][:1] + [vocabulary["x"]] * 9
        ends = next(i for i, token in enumerate(tokens) if token in asked["stop_token_ids"]) + 1
        choices.insert(0, {{"index": index, "text": "", "token_ids": tokens[:min(ends, asked["max_tokens"])]}})
    time.sleep(0.2 if has("slow") else 0)
    return 200, {{"choices": choices}}


def reload(asked):
    if has("cannot-reload"):
        return 404, {{"detail": "Not Found"}}
    assert asked["method"] == "reload_weights", asked
    if has("lists-files"):
        seen = {{path.name: str(path.resolve()) for path in Path(asked["kwargs"]["weights_path"]).iterdir()}}
        with open(HERE / "requests.jsonl", "a") as file:
            file.write(json.dumps(["/files", seen]) + "\\n")
    loaded[named["--served-model-name"]] = digest(asked["kwargs"]["weights_path"])
    if has("dies-after-reload"):
        os._exit(9)
    return 200, {{"results": [None]}}


def load_adapter(asked):
    if asked["lora_name"] in loaded:
        return 400, {{"error": {{"message": "has already been loaded", "code": 400}}}}
    loaded[asked["lora_name"]] = digest(asked["lora_path"])
    return 200, None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        device = "device_config=cuda" if has("on-cuda") else "device_config=cpu"
        told = {{"/health": None, "/server_info": {{"vllm_config": f"dtype=torch.float32, {{device}}, x"}}}}
        self.answer(200 if self.path in told else 404, told.get(self.path))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(HERE / "requests.jsonl", "a") as file:
            file.write(json.dumps([self.path, asked]) + "\\n")
        ways = {{
            "/v1/completions": complete,
            "/collective_rpc": reload,
            "/reset_prefix_cache": lambda asked: (200, {{"success": True}}),
            "/v1/load_lora_adapter": load_adapter,
            "/v1/unload_lora_adapter": lambda asked: (200, loaded.pop(asked["lora_name"]) and None),
        }}
        self.answer(*ways[self.path](asked))

    def answer(self, status, body):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


time.sleep(0.3)
Server(named["--uds"], Handler).serve_forever()
'''


def install(folder: Path, *, version: str = "0.31.0") -> Path:
    """The path of the interpreter, for `server.python`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(SERVER.format(python=sys.executable, here=str(folder), version=version))
    path.chmod(0o755)
    return path


def trouble(interpreter: Path, words: str) -> None:
    (interpreter.parent / "trouble").write_text(words)


def requests(interpreter: Path, path: str) -> list:
    """What was asked under `path`, in order."""
    import json

    lines = (interpreter.parent / "requests.jsonl").read_text().splitlines()
    return [row[1] for row in map(json.loads, lines) if row[0] == path]
