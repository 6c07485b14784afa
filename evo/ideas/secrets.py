"""Secrets in text that leaves this machine: what looks like one is told as `…`.

Invariant: a text is masked before it is cut, since half a secret looks like none. No pattern knows all secrets: what is
sent is facts of the tree and the pages of the workspace, and never the environment.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "…"
_VALUE = r"""(?:\\*"(?!…)[^"\n]{1,400}"?|\\*'(?!…)[^'\n]{1,400}'?|(?!…)[^\s"',;}\]\\]+)"""
_SURE = r"api[_-]?key|access[_-]?key|secret|passw(?:or)?d|passphrase|private[_-]?key|credential"
_LIKELY = r"token|authorization|cookie"
_GIVEN = r"""\\*["']?\s*[=:]\s*"""
_OPTION = r"--[\w-]{0,24}"
_NAMED = re.compile(rf"((?:{_SURE})[\w-]{{0,24}}{_GIVEN}|{_OPTION}(?:{_SURE})[\w-]{{0,24}}\s+){_VALUE}", re.IGNORECASE)
_PERHAPS = re.compile(
    rf"((?:{_LIKELY}){_GIVEN}(?:(?:bearer|basic|digest|token|key)\s+)?+|{_OPTION}token\s+|\bbearer\s+)({_VALUE})",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:sk-|github_pat_|glpat-|nvapi-|pypi-|dckr_pat_|xox[a-z]-|ya29\.|AIza)[\w.-]{8,}"
    r"|\b(?:hf|r8|gsk|npm|gh[opsur]|[srp]k_live|[srp]k_test)_[A-Za-z0-9]{14,}"
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?"
)
_BLOCK = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY.*?(?:END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL)
_IN_ADDRESS = re.compile(r"(://[^\s/:@]{0,100}:)[^\s/@]{1,300}@")
_LONG = re.compile(r"[A-Za-z0-9+=_]{32,}")
_HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)")
_SPLITS = re.compile(r"""[\s"',;}\]\\]+""")
_NO_SECRET = re.compile(r"""\\*["']?(?:[\d.,+-]+|true|false|none|null|<.*|\[.*|\{.*|\w{1,3})""", re.IGNORECASE)


def masked(text: str) -> str:
    """`text` without keys, tokens, passwords and long strings of letters and digits at random."""
    text = _IN_ADDRESS.sub(rf"\1{MASK}@", _BLOCK.sub(MASK, text))
    text = _KNOWN.sub(MASK, _NAMED.sub(rf"\1{MASK}", text))
    return _LONG.sub(_unless_words, _PERHAPS.sub(_unless_plain, text))


def _unless_plain(found: re.Match[str]) -> str:
    """A number of tokens, and the name of one, are no secret: `max_token=512`, `pad_token: <pad>`."""
    return found[0] if _NO_SECRET.fullmatch(found[2]) else found[1] + MASK


def _unless_words(found: re.Match[str]) -> str:
    text = found[0]
    is_random = bool(re.search(r"\d", text) and re.search("[a-z]", text) and re.search("[A-Z]", text))
    return MASK if is_random or _HEX.fullmatch(text) else text


def masked_in(value: Any) -> Any:
    """The same for every text of a JSON value; what stands under the name of a secret is one."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: _under(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_in(inner) for inner in value]
    return value


def _under(name: str, value: Any) -> Any:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        word = _SPLITS.sub("_", str(value))
        return MASK if word and masked(f"{name}={word}") == f"{name}={MASK}" else masked_in(value)
    return masked_in(value)
