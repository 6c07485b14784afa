r"""Where in a text the answer stands, and in which form: a scorer that reads `ANSWER: X` is blind to `\boxed{X}`.

Invariant: pure; a text has one form, the first of `FORMS` that it shows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from evo.lightdata import dataclass

FORMS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (r"\boxed{…}", re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"), r"\boxed"),
    ("<answer>…</answer>", re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE), "<answer>"),
    ("#### …", re.compile(r"^####\s*(.+?)\s*$", re.MULTILINE), "####"),
    ("ANSWER: …", re.compile(r"\banswer\s*[:=]\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE), "answer:"),
    ("the answer is …", re.compile(r"\banswer is:?\s+(.+?)[.\s]*$", re.MULTILINE | re.IGNORECASE), "answer is"),
)
"""Name, what finds it with the answer as group 1, and how a prompt that asks for it spells it."""
JSON, BARE, PROSE = "JSON", "the bare answer", "running text"
LONGEST_BARE = 60
"""Characters of one line: what is longer is not an answer alone."""


@dataclass(frozen=True)
class Form:
    """`answer`: without what it is wrapped in. `is_last`: nothing follows it."""

    name: str
    answer: str
    is_last: bool = True


def form_of(text: str) -> Form:
    """The last match of the first form that the text shows: an answer that is given twice is meant the second time."""
    stripped = text.strip()
    for name, pattern, _ in FORMS:
        if matches := list(pattern.finditer(stripped)):
            last = matches[-1]
            rest = re.sub(r"[\s.$)\]]", "", stripped[last.end() :])
            return Form(name, last[1].strip(), is_last=not rest)
    if stripped[:1] in ("{", "[") and _is_json(stripped):
        return Form(JSON, stripped)
    is_bare = "\n" not in stripped and len(stripped) <= LONGEST_BARE
    return Form(BARE if is_bare else PROSE, stripped)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class FormCount:
    """`name` with how many texts show it, of `of`."""

    name: str
    count: int
    of: int


def forms_in(texts: Iterable[str]) -> list[FormCount]:
    """Forms by how often they occur; where the answer is not the last thing said, that is part of the name."""
    names = [form.name if form.is_last else f"{form.name}, and text after it" for form in map(form_of, texts)]
    return [FormCount(name, count, len(names)) for name, count in Counter(names).most_common()]


def asked_for(prompts: Iterable[str]) -> list[str]:
    """Forms that these prompts spell out, most often first."""
    folded = [" ".join(prompt.casefold().replace(" :", ":").split()) for prompt in prompts]
    counts = Counter(name for prompt in folded for name, _, spelling in FORMS if spelling in prompt)
    return [name for name, _ in counts.most_common()]


def expected_of(answer: str, targets: Sequence[str]) -> str:
    """What a scorer would be given as the target of a row whose answer is `answer`: its bare answer, unless the dev
    targets are of its form themselves."""
    form = form_of(answer)
    wrapped = {form_of(target).name for target in targets}
    return answer if form.name in wrapped or form.name in (JSON, BARE, PROSE) else form.answer


@dataclass(frozen=True)
class Evidence:
    """Both sides: forms of training answers and of what evaluation wants, and what its scorer says of the former.

    `scored` training answers were put through the scorer, `right` of them were; None: no scorer could be asked.
    """

    training: Sequence[FormCount]
    asked: Sequence[str]
    right_outputs: Sequence[FormCount]
    scored: int | None = None
    right: int = 0


def verdict(evidence: Evidence) -> str:
    """One sentence on whether training teaches the form that evaluation reads."""
    taught = evidence.training[0].name if evidence.training else ""
    wanted = [*evidence.asked, *(count.name for count in evidence.right_outputs[:1])]
    differs = bool(taught and wanted) and taught not in wanted
    against = f"training teaches {taught}, evaluation reads {wanted[0]}" if differs else ""
    if evidence.scored and evidence.right == 0:
        told = f"none of {evidence.scored} training answers is right by the workspace's own scorer"
        return f"{told}: {against or 'what is taught is not what is read'}"
    if against:
        return against
    if evidence.scored:
        told = f"{evidence.right} of {evidence.scored} training answers are right by the workspace's own scorer"
        rest = "look at what is asked" if evidence.right == evidence.scored else "look at those that are not"
        return f"{told}: {rest}"
    return "nothing was put through a scorer: compare the two sides by eye"
