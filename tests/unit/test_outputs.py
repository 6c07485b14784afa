"""Alarms on outputs: each fires on its fault and is silent beside it, and on honest training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evo.diagnose.outputs import Marks, Said, alarms, hedges, is_loop, shape, truncation

TARGETS = [str(100 + 7 * i) for i in range(60)]
COMMANDS = [f'{{"tool": "lamp", "level": {i}}}' for i in range(60)]


def said(ours: Callable[[str], str], base: Callable[[str], str], targets: list[str]) -> list[Said]:
    return [Said(ours(target), base(target), target) for target in targets]


def kinds(rows: list[Said], marks: Marks = Marks()) -> set[str]:
    found = alarms(rows, marks)
    assert all(finding.severity == "warn" for finding in found)
    return {finding.kind for finding in found}


def right(target: str) -> str:
    return target


def wrong(target: str) -> str:
    return str(int(target) + 3)


def wordy(target: str) -> str:
    return f"Let me think about it step by step. I believe that the number is near {int(target) % 90}"


def thinking(target: str) -> str:
    return f"First add the tens, then the ones; carrying gives {int(target) - 1} and one. ANSWER: {target}"


HONEST = {
    "learns short answers": said(right, wordy, TARGETS),
    "stays wordy": said(wordy, wordy, TARGETS),
    "learns nothing": said(wrong, wrong, TARGETS),
    "learns to think": said(thinking, wordy, TARGETS),
    "learns commands": said(right, lambda _: "I can switch on lamps.", COMMANDS),
    "yes and no": [Said("yes" if i % 3 else "no", "maybe so", "yes" if i % 2 else "no") for i in range(60)],
    "a base that says one thing": said(lambda _: "7", lambda _: "7", TARGETS),
    "no base, no targets": [Said(target, None, None) for target in TARGETS],
    "too few to tell": said(lambda _: "7", right, TARGETS[:15]),
}


@pytest.mark.parametrize("run", HONEST)
def test_honest_runs_raise_no_alarm(run: str) -> None:
    """C13: a fine-tuning that moves outputs towards the targets, or nowhere, is silent."""
    assert kinds(HONEST[run]) == set()


FAULTS = {
    "repeated": said(lambda _: "42", wordy, TARGETS),
    "loops": said(lambda target: f"{target} so " + "very " * 60, wordy, TARGETS),
    "length": said(
        lambda target: "Well now, let me say a few words more on that before I do: " + target, right, TARGETS
    ),
    "format": said(lambda _: "I can switch on lamps.", right, COMMANDS),
    "hedging": said(lambda target: f"ANSWER: 1 ANSWER: 2 ANSWER: {target}", thinking, TARGETS),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_raises_its_alarm(kind: str) -> None:
    """C13: drift in length and form, one output for everything, loops, markers over and over."""
    assert kind in kinds(FAULTS[kind])


def test_choices_all_named_at_once_are_hedging() -> None:
    rows = [Said("yes, no or maybe", "yes", "no") for _ in range(30)]
    assert "hedging" in kinds(rows, Marks(choices=["yes", "no", "maybe"]))
    assert "hedging" not in kinds([Said("no", "yes", "no") for _ in range(30)], Marks(choices=["yes", "no", "maybe"]))


def test_a_pattern_without_a_word_is_no_marker() -> None:
    """`(\\d+)` stands in every line of arithmetic; `Result: (\\d+)` is what a grader looks for."""
    assert not hedges("1 + 2 + 3 + 4 = 10", Marks(pattern=r"(-?\d+)"))
    assert hedges("Result: 1 Result: 2 Result: 3", Marks(pattern=r"Result: (\d+)"))


def test_shape_and_loop() -> None:
    assert shape(COMMANDS[0]) == shape('{"tool":"door","level":17}') == '{"a":"a","a":9}'
    assert shape("two words") != shape("12")
    assert is_loop("ha " * 40)
    assert not is_loop(
        "The quick brown fox jumps over the lazy dog, then rests a while below the old pear tree by the lake."
    )


def test_answers_that_are_cut_off_and_wrong_are_told_unless_they_would_never_have_ended() -> None:
    """C13: a tenth of sixty and more; what repeats itself is another fault."""

    def cut(count: int, text: str) -> list[Said]:
        return [Said(text, None, target, is_cut_off=number < count) for number, target in enumerate(TARGETS)]

    found = truncation(cut(6, thinking("100")))
    assert found is not None
    assert (found.kind, found.evidence) == ("truncated-outputs", {"share": 0.1})
    assert truncation(cut(5, thinking("100"))) is None
    assert truncation(cut(60, "very " * 60)) is None
    assert truncation(cut(60, "text")[:15]) is None
    assert truncation([]) is None
