"""References: what an address names, whether the title found there is the title that was claimed, and what follows.

Invariant: a reference is `verified` only where its own address was resolved and the titles match; nothing here asks
the network, so that the same answers give the same statuses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from evo.domain.idea import Idea, Reference
from evo.ideas.wording import COMMON, is_name
from evo.lightdata import replace

Service = Literal["arxiv", "huggingface", "github", "blog"]
SIMILAR = 0.9
"""Share of telling words in common (Dice) from which two titles are one, where nothing else tells them apart: one word
changed of ten, or added to five."""
_ARXIV = re.compile(r"(?:\d{2}(?:0[1-9]|1[0-2])\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})")
_VERSION = re.compile(r"v\d+$")
_OWNED = re.compile(r"[\w.-]+/[\w.-]+")
_MATHS = re.compile(r"\\[a-zA-Z]+\*?|[$^_{}\\]")
_WORD = re.compile(r"[^\W_]+\+*")
_LISTING = re.compile(r"^\s*\[[^\]]*\d{4}\.\d{4,5}[^\]]*\]\s*|^\s*(?:paper page|github)\s*[-:]\s*", re.IGNORECASE)
_SITE = re.compile(r"\s+[-–—|·]\s+(?:arxiv|hugging face|github|openreview)[^-–—|]*$", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\([A-Za-z+-]{2,12}\)")
_MARK = re.compile(r"[^\W_]+(?:\.\d+)*\+*")
_NAMED = re.compile(r"\s*(?::|[–—]|\s-)\s+")


class Target(NamedTuple):
    """`id` is the number of a paper, `papers/NUMBER`, `OWNER/NAME` of a repository, or the address itself."""

    service: Service
    id: str


class Record(NamedTuple):
    """What a service says of one address; `code` is a public repository, empty where none is known."""

    title: str
    year: int = 0
    code: str = ""


def identify(url: str) -> Target | None:
    """What an address names; None where nobody could look it up."""
    text = url.strip()
    if text.lower().startswith("arxiv:"):
        return _paper(text[6:])
    page = _page(text)
    if page is None:
        return None
    host, path = page
    if host in ("arxiv.org", "export.arxiv.org"):
        return _paper(re.sub(r"^(?:abs|pdf|html)/|\.pdf$", "", path))
    if host in ("huggingface.co", "hf.co"):
        return _hub(path)
    if host == "github.com":
        found = _OWNED.match(path)
        return Target("github", found.group().removesuffix(".git")) if found else None
    return Target("blog", text)


def _page(url: str) -> tuple[str, str] | None:
    """Host and path of a web address; None where it is none, as with an open bracket or a port above 65535."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return None
    return (parts.hostname.lower().removeprefix("www."), parts.path.strip("/")) if is_web and parts.hostname else None


def _paper(text: str) -> Target | None:
    id = _VERSION.sub("", text.strip())
    return Target("arxiv", id) if _ARXIV.fullmatch(id) else None


def _hub(path: str) -> Target | None:
    head, _, rest = path.partition("/")
    if head == "papers":
        id = rest.removesuffix(".md").partition("/")[0]
        return Target("huggingface", f"papers/{id}") if _ARXIV.fullmatch(id) else None
    if head in ("blog", "docs", "spaces", "collections"):
        return Target("blog", f"https://huggingface.co/{path}")
    kind, name = ("datasets", rest) if head == "datasets" else ("models", path)
    found = _OWNED.match(name)
    return Target("huggingface", f"{kind}/{found.group()}") if found else None


def cleaned(title: str) -> str:
    """A title as a search engine shows it, without the number before it and the site behind it."""
    return _SITE.sub("", _LISTING.sub("", title)).strip()


def words(title: str) -> list[str]:
    """Words as titles are compared by: compatibility forms joined, case, punctuation and LaTeX gone; `LoRA+` keeps
    its sign, for it is another paper than `LoRA`."""
    plain = unicodedata.normalize("NFKC", title)
    return _WORD.findall(_MATHS.sub("", plain).casefold())


def is_same_title(claimed: str, found: str) -> bool:
    """Equal in words; or one of them leaves the subtitle out; or nearly all telling words in common, from the first one
    on, with the same name before a colon and the same numbers and acronyms: `Qwen2.5-VL` is not `Qwen2.5`."""
    claimed, found = (_ASIDE.sub("", cleaned(title)) for title in (claimed, found))
    a, b = words(claimed), words(found)
    if not a or not b:
        return False
    if "".join(a) == "".join(b):
        return True
    name_a, name_b = _name(claimed), _name(found)
    if (name_b and _telling(a) == name_b) or (name_a and _telling(b) == name_a):
        return True
    if name_a and name_b and name_a != name_b:
        return False
    return _are_alike(claimed, found)


def _are_alike(claimed: str, found: str) -> bool:
    a, b = _telling(words(claimed)), _telling(words(found))
    if not a or not b or a[0] != b[0] or not (_has_marks_of(claimed, found) and _has_marks_of(found, claimed)):
        return False
    return 2 * len(set(a) & set(b)) / (len(set(a)) + len(set(b))) >= SIMILAR


def _telling(told: list[str]) -> list[str]:
    return [word for word in told if word not in COMMON]


def _has_marks_of(title: str, other: str) -> bool:
    """Whether it has every number of the other and every word with two capitals: versions and acronyms are names."""
    marks = [word for word in _MARK.findall(other) if is_name(word)]
    return {mark.casefold() for mark in marks} <= {word.casefold() for word in _MARK.findall(title)}


def _name(title: str) -> list[str]:
    """The telling words before the first colon or dash; none where there is neither."""
    head, *rest = _NAMED.split(title, maxsplit=1)
    return _telling(words(head)) if rest else []


def _is_of_repository(claimed: str, record: Record) -> bool:
    """A repository is named by its name, with or without its owner, or by what it says it is."""
    said, (owner_and_name, _, about) = set(words(claimed)), record.title.partition(": ")
    name = set(words(owner_and_name.rpartition("/")[2]))
    return bool(name) and (name <= said or is_same_title(claimed, about))


def judged(reference: Reference, record: Record | None) -> Reference:
    """The reference with what its service said of its address; None: there is nothing there."""
    if record is None:
        return replace(reference, status="not_found")
    target = identify(reference.url)
    if target is not None and _OWNED.fullmatch(target.id.removeprefix("models/").removeprefix("datasets/")):
        is_same = _is_of_repository(reference.title, record)
    else:
        is_same = is_same_title(reference.title, record.title)
    if is_same:
        return replace(reference, status="verified")
    found = f"{reference.finding} (the address is of {record.title!r})".strip()
    return replace(reference, status="mismatch", finding=found)


def settled(idea: Idea, answers: Mapping[str, Record | None]) -> Idea:
    """The idea with every unresolved reference judged. `answers`: by address, None where there is nothing; an address
    that is absent could not be asked about."""
    references = [
        judged(one, answers[one.url]) if one.status == "unresolved" and one.url in answers else one
        for one in idea.references
    ]
    codes = [answers[one.url] for one in references if one.status == "verified" and one.url in answers]
    has_code = any(record is not None and record.code for record in codes)
    more = ["has code"] if has_code and "has code" not in idea.confidence else []
    return replace(idea, references=references, confidence=[*idea.confidence, *more])
