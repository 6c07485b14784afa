"""What of a text is searched and compared by."""

from __future__ import annotations

import pytest
from ideation import task, tree

from evo.domain.idea_views import NeighbourView
from evo.ideas.facts import Reading
from evo.ideas.knowledge import load
from evo.ideas.likeness import likenesses, stems
from evo.ideas.sources.briefing import subject_of
from evo.ideas.wording import subject
from evo.lightdata import replace
from evo.ops.ideas.check import verdict


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a LoRA with a higher learning rate", "LoRA learning rate"),
        ("LoRA+ and rsLoRA on Qwen2.5-0.5B, for GSM8K and more", "LoRA+ rsLoRA Qwen2.5-0.5B GSM8K"),
        ("Answer grade school math word problems.", "grade school math word"),
        ("all of the models", ""),
    ],
)
def test_a_library_is_searched_by_the_words_that_tell(text: str, found: str) -> None:
    assert subject(text, most=4) == found


@pytest.mark.parametrize(
    ("steps", "mission", "found"),
    [
        ([], "Answer grade school math word problems", "verifiable reward grade school"),
        ([], "", "verifiable reward language model"),
        (
            [{"recipe": "grpo", "gain": 0.2}],
            "Answer grade school math, api_key=sk-abcdefghij1",
            "GRPO grade school math",
        ),
    ],
)
def test_literature_is_asked_for_the_technique_and_the_task(
    steps: list[dict[str, object]], mission: str, found: str
) -> None:
    """The base is no technique, and no secret of a page leaves this machine."""
    facts = tree(replace(task("verifiable"), objective=""), *steps)
    assert subject_of(replace(facts, reading=Reading(words=mission))) == found


def test_words_that_any_text_has_are_no_likeness() -> None:
    texts = {"one": "the same rate for all of the layers", "two": "a LoRA of the attention", "three": "LoRA+ for both"}
    assert likenesses("the", texts) == {}
    assert list(likenesses("LoRA+", texts)) == ["three"]
    assert list(likenesses("attentions", texts)) == ["two"]


@pytest.mark.parametrize(
    ("words", "nearest", "said"),
    [
        ("the", 0.0, "none of its words"),
        ("LoRA", 1.0, "close to exp_0001"),
        ("LoRA at twice the rate", 1.0, "probably done"),
        ("eine LoRA mit doppelter Lernrate", 0.2, "few of its words are known"),
        ("LoRA at half the rate", 0.2, "new here, as far as words tell"),
    ],
)
def test_what_is_said_of_an_idea(words: str, nearest: float, said: str) -> None:
    near = [NeighbourView("experiment", "exp_0001", "LoRA", nearest)] if nearest else []
    found = verdict(words, nearest, near, known=stems("lora at half and twice the rate"))
    assert said in found
    assert ("few of" in found) == ("Lernrate" in words)


@pytest.mark.parametrize(
    ("words", "claim"),
    [("on-policy distillation from a teacher on the student's own samples", "gkd"), ("LoRA+ with a rate", "loraplus")],
)
def test_the_nearest_claim_is_near_whoever_has_read_it(words: str, claim: str) -> None:
    base = load()
    texts = {id: f"{one.claim} {base.papers[one.paper].title}" for id, one in base.claims.items()}
    assert claim in list(likenesses(words, texts))[:3]
