"""The shipped knowledge base: its rows are sound, its patches run, and what was read in its source ranks first."""

from __future__ import annotations

import re

import pytest

from evo.ideas import knowledge
from evo.ideas.knowledge import FILES, HOME, SITUATIONS, Claim, KnowledgeBase, Paper, load, or_query, rows_of
from evo.validation import validate
from evo.workspace.params import apply_params
from evo.workspace.recipes import find_recipe, names


@pytest.fixture(scope="module")
def base() -> KnowledgeBase:
    return load()


def test_every_row_is_of_its_kind() -> None:
    for name, kind in FILES:
        path = HOME / f"{name}.jsonl"
        for number, row in enumerate(rows_of(path), 1):
            validate(kind, row, path=path, line_of=lambda _, number=number: number)


def test_ids_titles_and_years(base: KnowledgeBase) -> None:
    rows = {name: rows_of(HOME / f"{name}.jsonl") for name, _ in FILES}
    assert len(base.papers) == len(rows["papers"])
    assert len(base.claims) == len(rows["claims"])
    assert len({paper.title.lower() for paper in base.papers.values()}) == len(base.papers)
    for paper in base.papers.values():
        number = re.fullmatch(r"arxiv:(\d\d)(0[1-9]|1[0-2])\.\d{4,5}", paper.id)
        assert number or paper.id.startswith("https://"), paper.id
        assert number is None or paper.year == 2000 + int(number[1])
        assert paper.title == paper.title.strip()
    assert base.papers["arxiv:2305.18290"].url == "https://arxiv.org/abs/2305.18290"


def test_claims_links_and_situations_hang_together(base: KnowledgeBase) -> None:
    assert {claim.paper for claim in base.claims.values()} == base.papers.keys()
    for claim in base.claims.values():
        assert set(claim.applies_when) | set(claim.avoid_when) <= SITUATIONS, claim.id
        assert claim.applies_when, claim.id
        assert claim.claim.endswith("."), claim.id
        assert claim.level == "memory" or base.papers[claim.paper].is_verified, (
            f"{claim.id}: checked, of an unverified paper"
        )
    used = {tag for claim in base.claims.values() for tag in (*claim.applies_when, *claim.avoid_when)}
    assert SITUATIONS - used == set()
    assert all({link.source, link.target} <= base.claims.keys() and link.source != link.target for link in base.links)


def test_every_patch_is_one_that_its_recipe_accepts(base: KnowledgeBase) -> None:
    known = names(None)
    for claim in base.claims.values():
        assert claim.recipe or not claim.patch, claim.id
        if claim.recipe:
            assert claim.recipe in known, claim.id
            apply_params(find_recipe(None, claim.recipe).config, claim.patch)


def test_forty_claims_were_read_in_their_source(base: KnowledgeBase) -> None:
    assert sum(claim.level == "checked" for claim in base.claims.values()) >= 40


def test_checked_claims_rank_before_remembered_ones(base: KnowledgeBase) -> None:
    levels = [found.claim.level for found in base.search("reinforcement learning from verifiable rewards", limit=50)]
    assert levels == sorted(levels)
    assert {"checked", "memory"} == set(levels)
    fitting = [claim.level for claim in base.fitting(frozenset({"verifiable", "base-some"}))]
    assert fitting == sorted(fitting)


def test_any_word_finds_and_the_nearest_comes_first(base: KnowledgeBase) -> None:
    assert base.search("unpaired thumbs with noise")[0].claim.id == "kto-unpaired"
    assert base.search("paraphrases zzz")[0].claim.id == "rephrased"
    assert base.search("of the and") == []
    assert or_query('a "quoted" NOT-word') == '"quoted" OR "not" OR "word"'


def test_what_is_to_be_avoided_is_not_proposed(base: KnowledgeBase) -> None:
    ids = {claim.id for claim in base.fitting(frozenset({"verifiable", "base-zero"}))}
    assert "grpo-intro" not in ids
    assert "grpo-intro" in {claim.id for claim in base.fitting(frozenset({"verifiable", "base-some"}))}


def test_ranking_by_level_holds_on_two_rows() -> None:
    """The nearer claim comes second when nobody has read it."""
    paper = Paper("arxiv:2401.00001", "A title", 2024)
    near = Claim("near", paper.id, "sft", "any", "Warm rates warm rates.", "memory", applies_when=["plateau"])
    far = Claim(
        "far", paper.id, "sft", "any", "Cold starts, now and then at warm rates.", "checked", applies_when=["lora"]
    )
    found = knowledge.KnowledgeBase([paper], [near, far], []).search("warm rates")
    assert [hit.claim.id for hit in found] == ["far", "near"]


@pytest.mark.parametrize(
    ("typed", "claims"),
    [
        ("reward hacking length", {"length-hacks-reward"}),
        ("GRPO KL coefficient zero", {"orz-plain"}),
        ("LoRA learning rate", {"lora-regret-rate", "lora-regret-rl"}),
        ("DPO beta", {"dpo-direct", "dpo-firm-beta"}),
        ("continued pretraining on domain text", {"dont-stop"}),
        ("rejection sampling fine-tuning", {"raft-best-of-k"}),
        ("catastrophic forgetting", {"lora-forgets-less"}),
        ("entropy collapse", {"dapo-clip-higher"}),
        ("KTO unbalanced", {"kto-unpaired"}),
        ("pass@k of the base model", {"passk-first"}),
    ],
)
def test_what_a_person_types_finds_what_they_mean(base: KnowledgeBase, typed: str, claims: set[str]) -> None:
    assert claims <= {found.claim.id for found in base.search(typed, limit=3)}


def test_every_shipped_technique_is_spoken_of_by_a_claim_that_was_read(base: KnowledgeBase) -> None:
    spoken = {claim.recipe for claim in base.claims.values() if claim.level == "checked"}
    assert set(names(None)) - {"command"} <= spoken


def test_a_later_paper_speaks_of_an_earlier_one(base: KnowledgeBase) -> None:
    for link in base.links:
        later, earlier = (base.papers[base.claims[id].paper] for id in (link.source, link.target))
        assert later.year >= earlier.year, link
