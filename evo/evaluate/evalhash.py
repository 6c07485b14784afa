"""The eval_hash: everything that a score depends on besides the weights.

Invariant: two results may be compared only where their hashes are equal; any ingredient that changes gives another
hash, and `differences` says which one it was.
"""

from __future__ import annotations

from collections.abc import Mapping

from evo.files import sha256_json, sha256_text
from evo.lightdata import dataclass, field
from evo.validation import plain

_WORDS = {
    "items": "{} items",
    "scorer": "scorer",
    "scorer_options": "scorer option {}",
    "system_prompt": "system prompt",
    "chat_template": "chat template",
    "generation": "generation setting {}",
    "engine": "engine",
    "command": "evaluation command",
    "files": "evaluation file {}",
    "metric": "metric {}",
    "forbidden": "forbidden outputs",
}
_HASHED = ("items", "system_prompt", "chat_template", "files")


@dataclass(frozen=True)
class EvalSpec:
    """The ingredients. `items`: split -> hash; `files`: name -> hash (scorer.py and the command's files)."""

    items: Mapping[str, str]
    scorer: str
    engine: str
    """`evo.evaluate.engine.engine_of(backend)`."""
    scorer_options: Mapping[str, object] = field(default_factory=dict)
    system_prompt: str = ""
    """Hash of the text; `text_hash`."""
    chat_template: str = ""
    """Hash of the template's text that is really used, the base model's own included."""
    generation: Mapping[str, object] = field(default_factory=dict)
    """Settings that change answers, samples and dtype among them. Not the batch size: it only changes speed."""
    command: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    metric: Mapping[str, object] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)


def text_hash(text: str | None) -> str:
    return sha256_text(text)[:16] if text else ""


def eval_hash(spec: EvalSpec) -> str:
    """16 hex digits."""
    return sha256_json(plain(spec))[:16]


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """What changed between two `plain` specs, in words: `scorer: exact → json_cmd`, `dev items changed`."""
    found = []
    for name, words in _WORDS.items():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if not isinstance(before, Mapping) or not isinstance(after, Mapping):
            found.append(_change(words, before, after, is_hash=name in _HASHED))
            continue
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                found.append(_change(words.format(key), before.get(key), after.get(key), is_hash=name in _HASHED))
    return found


def _change(what: str, before: object, after: object, *, is_hash: bool) -> str:
    if not is_hash:
        return f"{what}: {_word(before)} → {_word(after)}"
    return f"{what} {'added' if not before else 'removed' if not after else 'changed'}"


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)
