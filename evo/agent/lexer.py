"""The words of a shell line, as POSIX shells and `shlex` split it, in time that grows with its length alone.

Invariant: quotes and backslashes are gone from words; operators are tokens of their own, a line's end among them.
`shlex` itself reads character by character and copies a long word at each of them: 100 kB take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""[ \t\r]+|(\n|[();<>|&`]+)|((?:[^\s'"\\();<>|&`]++|'[^']*+'|"[^"\\]*+(?:\\.[^"\\]*+)*+"|\\.)++)""", re.DOTALL
)
_PIECE = re.compile(r"""'([^']*+)'|"([^"\\]*+(?:\\.[^"\\]*+)*+)"|\\(.)|([^'"\\]++)""", re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_BARE = re.compile(r"\n|[;&|()`]+|[^\s;&|()`]+")


class Token(NamedTuple):
    """`is_word`: no operator, whatever its letters are."""

    text: str
    is_word: bool


def tokens(line: str) -> list[Token]:
    """Words and operators in order. Where quotes do not close, words are taken as they come."""
    text = line.replace("\\\n", " ")
    found: list[Token] = []
    place = 0
    while place < len(text):
        next = _TOKEN.match(text, place)
        if next is None:
            return list(_bare(text))
        operator, word = next.groups()
        if operator or word is not None:
            found.append(Token(operator or _unquoted(word), word is not None))
        place = next.end()
    return found


def _unquoted(word: str) -> str:
    def plain(piece: re.Match[str]) -> str:
        single, double, escaped, bare = piece.groups()
        if double is not None:
            return _ESCAPED.sub(r"\1", double)
        return single if single is not None else escaped or bare

    return _PIECE.sub(plain, word)


def _bare(text: str) -> Iterator[Token]:
    for found in _BARE.findall(re.sub(r"['\"\\]", "", text)):
        yield Token(found, found[0] not in "\n;&|()`")
