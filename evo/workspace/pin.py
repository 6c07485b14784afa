"""What a score depends on, held fast: the base model by hash, the evaluation's files as read-only copies.

Invariant: a pinned folder's name is the hash of what is in it; it appears whole or not at all, and one that was
changed afterwards is refused. Weights are safetensors: a pickle would run code in the evaluator.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any, Literal

from evo.config import EvoConfig
from evo.errors import FileFormatError, MissingExtra, NotFound, Refused, UsageError
from evo.files import read_json, sha256_file, sha256_json, sha256_text
from evo.lightdata import dataclass
from evo.workspace.folders import hash_files, regular_files
from evo.workspace.layout import Layout

SCORER = "scorer.py"
GENERATION = "generation_config.json"
SCORER_SHAPE = "write: def score(expected: str, actual: str) -> float"
FROM_MODEL = "from:"
"""How `chat-template` says that it names a model and not a file."""
_FUNCTION, _VARARGS = 1, 4
"""Flags of code objects: CO_OPTIMIZED, CO_VARARGS (`inspect` takes 10 ms to import)."""
_PROMPTS = "_prompt"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_FETCHED = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json")


@dataclass(frozen=True)
class ModelPin:
    """A model and the hashes of its files. `source`: what the user named, made absolute when it is a folder."""

    source: str
    path: Path
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str
    kind: Literal["full", "adapter"]
    generation_sha256: str = ""
    """Of `generation_config.json`, which says what ends an answer; empty in pins that were made without it."""

    @property
    def facts(self) -> dict[str, str]:
        """As JSON data."""
        return {
            "source": self.source,
            "path": str(self.path),
            "weights_sha256": self.weights_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "config_sha256": self.config_sha256,
            "kind": self.kind,
            "generation_sha256": self.generation_sha256,
        }


@dataclass(frozen=True)
class PinnedEvaluation:
    """`folder` is the evaluation's working directory; `file_hashes`: name -> sha256 of scorer.py and `eval.files`.

    `chat_template` is the text in force, the base model's own included; None when there is none.
    """

    folder: Path
    sha256: str
    file_hashes: dict[str, str]
    system_prompt: str
    chat_template: str | None


def pin_model(source: str) -> ModelPin:
    """The model in a folder or of a hub id (`org/name`, `org/name@revision`).

    NotFound when it is nowhere; Refused when its weights are not safetensors or a part is missing.
    """
    path = resolve_model(source)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        found = next((file.name for file in sorted(path.iterdir()) if file.suffix in (".bin", ".pt", ".gguf")), "none")
        raise Refused(
            f"{path} holds no safetensors weights (found: {found})",
            hint="convert it: AutoModelForCausalLM.from_pretrained(SOURCE).save_pretrained(FOLDER)",
        )
    kind: Literal["full", "adapter"] = "adapter" if (path / "adapter_config.json").is_file() else "full"
    config = path / ("adapter_config.json" if kind == "adapter" else "config.json")
    read_json(config)
    _check_shards(path)
    return ModelPin(
        source=str(path) if Path(source).expanduser().is_dir() else source,
        path=path,
        weights_sha256=_hash([file for file in weights]),
        tokenizer_sha256=_hash([path / name for name in TOKENIZER_FILES if (path / name).is_file()]),
        config_sha256=sha256_file(config),
        kind=kind,
        generation_sha256=_hash([path / name for name in (GENERATION,) if (path / name).is_file()]),
    )


def verify_model(pin: ModelPin) -> list[str]:
    """The parts (`weights`, `tokenizer`, `config`, `generation`) that are no longer what was pinned."""
    now = pin_model(str(pin.path))
    return [
        part
        for part in ("weights", "tokenizer", "config", "generation")
        if pin.facts[f"{part}_sha256"] not in ("", now.facts[f"{part}_sha256"])
    ]


def resolve_model(source: str) -> Path:
    """The folder of a model; a hub id is fetched, or found in the cache without a network."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    looks_like_path = source.startswith((".", "/", "~")) or source.count("/") != 1
    if looks_like_path or folder.exists():
        raise NotFound(
            f"model not found: {source} is no folder", hint="name a folder of safetensors, or a hub id ORG/NAME"
        )
    return _fetched(source)


def _fetched(source: str) -> Path:
    try:
        hub: Any = import_module("huggingface_hub")
        hub_errors: Any = import_module("huggingface_hub.errors")
    except ImportError:
        raise MissingExtra("huggingface_hub", "train") from None
    name, _, revision = source.partition("@")
    wanted = [*_FETCHED, *TOKENIZER_FILES]
    try:
        return Path(hub.snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except (hub_errors.HfHubHTTPError, hub_errors.HFValidationError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise NotFound(
            f"model not found: {source}: no folder of that name, and the hub did not give it ({reason})",
            hint="check the name and the network, or name a local folder",
        ) from None


def _check_shards(path: Path) -> None:
    """Every shard that the index names lies there."""
    for index in path.glob("*.safetensors.index.json"):
        for shard in sorted(set(read_json(index)["weight_map"].values())):
            if not (path / shard).is_file():
                raise Refused(f"{index} names {shard}, which is missing", hint="fetch the model again")


def _hash(files: Sequence[Path]) -> str:
    """Links are followed: a hub cache consists of them."""
    return sha256_json([(file.name, sha256_file(file)) for file in files])


def pin_evaluation(layout: Layout, config: EvoConfig, *, model: Path | None = None) -> PinnedEvaluation:
    """Copy what the evaluation reads to `.evo/pinned/<hash>/` and return it; an equal copy that is there is used.

    `model`: the base model's folder, for its chat template (default: `model.source`, where that is a folder).
    """
    files = _evaluation_files(layout, config)
    prompt = _system_prompt(layout, config)
    template = chat_template(layout, config, model=model)
    prompts = {f"{_PROMPTS}/system_prompt.md": prompt, f"{_PROMPTS}/chat_template.jinja": template or ""}
    hashes = {name: sha256_file(path) for name, path in sorted(files.items())}
    entries = sorted({**hashes, **{name: sha256_text(text) for name, text in prompts.items()}}.items())
    folder = layout.pinned / sha256_json(entries)[:32]
    if not folder.is_dir():
        _lay_in(folder, files, prompts)
    if hash_files(folder)[:32] != folder.name:
        raise Refused(f"{folder} is not what was pinned", hint="remove it: evo copies the files again")
    _close(folder)
    return PinnedEvaluation(folder, folder.name, hashes, prompt, template)


def _lay_in(folder: Path, files: dict[str, Path], texts: dict[str, str]) -> None:
    import shutil  # 3 ms with the next, once for each version of the files
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
    try:
        for name in (*files, *texts):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
        for name, path in files.items():
            shutil.copyfile(path, draft / name)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _close(folder: Path) -> None:
    """Read-only, folders too."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.chmod(os.path.join(place, name), 0o444)
        os.chmod(place, 0o555)


def _evaluation_files(layout: Layout, config: EvoConfig) -> dict[str, Path]:
    """Name in the pinned folder -> file of the workspace: scorer.py where it is used, and `eval.files`."""
    names = [*([SCORER] if config.eval.scorer == "custom" else []), *config.eval.files]
    found: dict[str, Path] = {}
    for name in names:
        path = layout.inside(name, field="eval.files")
        if path.is_dir():
            found |= {f"{name.rstrip('/')}/{inner}": path / inner for inner in regular_files(path)}
        elif path.is_file():
            found[os.path.normpath(name)] = path
        else:
            raise NotFound(f"{name} does not exist in the workspace", hint="eval.files in evo.yaml names it")
    for path in found.values():
        check_python(path)
    return found


def check_python(path: Path) -> None:
    """FileFormatError with the line where `path` is a page of Python that cannot be compiled, or a scorer without a
    function to score with."""
    if path.suffix != ".py":
        return
    try:
        page = compile(path.read_bytes(), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise FileFormatError(path, f"is not Python: {getattr(error, 'msg', error)}", line=line) from None
    if path.name == SCORER:
        _check_scorer(path, page)


def _check_scorer(path: Path, page: CodeType) -> None:
    """`score`, or one function of another name; what it does with its arguments shows when it is called."""
    parts = [part for part in page.co_consts if isinstance(part, CodeType) and part.co_flags & _FUNCTION]
    functions = {part.co_name: part for part in parts if not part.co_name.startswith(("_", "<"))}
    found = functions.get("score") or (next(iter(functions.values())) if len(functions) == 1 else None)
    if found is None and "score" not in page.co_names:
        raise FileFormatError(path, "defines no function score", field="score", hint=SCORER_SHAPE)
    if found is not None and found.co_argcount < 2 and not found.co_flags & _VARARGS:
        line = found.co_firstlineno
        raise FileFormatError(path, "takes fewer than two arguments", line=line, field="score", hint=SCORER_SHAPE)


def _system_prompt(layout: Layout, config: EvoConfig) -> str:
    if not config.system_prompt:
        return ""
    path = layout.inside(config.system_prompt, field="system-prompt")
    if not path.is_file():
        raise NotFound(f"{path} does not exist", hint="evo config set system-prompt FILE, or '' for none")
    return path.read_text(encoding="utf-8").strip()


def chat_template(layout: Layout, config: EvoConfig, *, model: Path | None) -> str | None:
    """The text of the chat template in force: the file, `from:MODEL`, or the base model's own."""
    wanted = config.chat_template
    if wanted.startswith(FROM_MODEL):
        source = wanted.removeprefix(FROM_MODEL)
        found = own_template(resolve_model(source))
        if found is None:
            raise NotFound(f"chat-template: {source} has no chat template", hint="name a chat model")
        return found
    if wanted:
        path = layout.inside(wanted, field="chat-template")
        if not path.is_file():
            raise NotFound(f"{path} does not exist", hint="chat-template is a file or from:MODEL")
        return path.read_text(encoding="utf-8")
    folder = model or (layout.root / config.model.source if config.model.source else None)
    return own_template(folder) if folder is not None and folder.is_dir() else None


def own_template(folder: Path) -> str | None:
    """The chat template that a model brings along."""
    page = folder / "chat_template.jinja"
    if page.is_file():
        return page.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        found = next((entry["template"] for entry in found if entry.get("name") == "default"), None)
    if found is not None and not isinstance(found, str):
        raise UsageError(f"{config}: chat_template is {json.dumps(found)[:60]}, not text")
    return found
