"""Answers that a page has drawn by the warm server: by its weights as they are, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import standin_vllm
from paging import ROOT, environment, lay_down, metrics_of
from servers import adapter, digest, other_weights
from tiny_llama import save_model
from transformers import AutoTokenizer

from evo.domain.job import ServerFacts
from evo.evaluate.server.hold import Hold
from evo.evaluate.server.place import has_keeper, state_of
from evo.recipe.sampling import Drawing
from evo.registry import load
from evo.validation import plain

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
HOW = Drawing(samples=2, max_new_tokens=30, temperature=0.9, top_p=0.95, batch_size=4, seed=3)
ENDS = [256]
PROMPTS = [[10, 11, 12], [13, 14], [10, 11, 12]]
LETTERS = "def reward(expected, actual):\n    return 1.0 if '|' in actual else 0.0\n"


@pytest.fixture
def kept(facts) -> Iterator[ServerFacts]:
    """A server that is kept, as it is while a run lives."""
    hold = Hold(facts, {"PATH": os.environ["PATH"]})
    hold.ready()
    yield facts
    hold.release()


def sampler(facts: ServerFacts):
    return load("sampler", "server")(plain(facts))


def test_answers_come_from_the_weights_that_were_given_each_with_a_seed_of_its_own(kept, python, base, tmp_path):
    source, tokenizer = sampler(kept), AutoTokenizer.from_pretrained(base)
    for folder in (adapter(tmp_path / "lora", base), other_weights(tmp_path / "full", base, scale=2.0)):
        answers = source.draw(folder, PROMPTS, ENDS, HOW)
        words = [tokenizer.decode(tokens, skip_special_tokens=True).split("|") for tokens in answers]
        assert [(word[0], word[1]) for word in words] == [(digest(folder), n) for n in ("3", "2", "3")]
        assert words[0][2] != words[2][2], "the same prompt, another seed"
        assert source.draw(folder, PROMPTS, ENDS, HOW) == answers
        assert source.draw(folder, PROMPTS, ENDS, replace(HOW, seed=4)) != answers
    asked = standin_vllm.requests(python, "/v1/completions")
    assert {(one["temperature"], one["top_p"], one["max_tokens"]) for one in asked} == {(0.9, 0.95, 30)}


def test_a_page_never_starts_a_server(facts, place, base, capfd):
    assert sampler(facts).draw(base, PROMPTS, ENDS, HOW) is None
    assert not has_keeper(place)
    assert "answers are drawn in this process" in capfd.readouterr().err


def test_what_the_server_cannot_draw_is_left_to_the_page(kept, place, python, base, tmp_path):
    source = sampler(kept)
    assert source.draw(adapter(tmp_path / "odd", base, use_dora=True), PROMPTS, ENDS, HOW) is None
    assert source.draw(base, [[10] * 140], ENDS, HOW) is None, "longer than the model reads"
    assert source.draw(adapter(tmp_path / "lora", base), PROMPTS, ENDS, HOW) is not None
    standin_vllm.trouble(python, "dies-on-completion")
    assert source.draw(adapter(tmp_path / "late", base), PROMPTS, ENDS, HOW) is None
    standin_vllm.trouble(python, "")
    assert source.draw(adapter(tmp_path / "later", base), PROMPTS, ENDS, HOW) is None, "it does not come back"
    assert state_of(place).state == "down"


def test_full_weights_with_tied_embeddings_are_drawn_by_the_page_on_a_cpu(facts, tmp_path):
    tied = save_model(tmp_path / "tied", seed=3, is_tied=True)
    facts = replace(facts, base_model=str(tied))
    hold = Hold(facts, {"PATH": os.environ["PATH"]})
    hold.ready()
    assert sampler(facts).draw(other_weights(tmp_path / "full", tied, scale=2.0), PROMPTS, ENDS, HOW) is None
    hold.release()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_rft_draws_by_the_server_from_the_weights_of_each_round(kept, python, base, tmp_path, method):
    """Issue 3, item 4: RFT sampling by the warm server; what is learned are the tokens that came back."""
    (tmp_path / "reward.py").write_text(LETTERS)
    rewards = [{"name": "bars", "file": str(tmp_path / "reward.py")}]
    folder = lay_down(tmp_path / "rft", "rft", base, facts={"rewards": rewards, "server": kept}, method=method)
    page = [sys.executable, str(ROOT / "recipes/rft/train.py")]
    ended = subprocess.run(page, env=environment(folder), capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert ended.returncode == 0, ended.stderr
    rounds = [[json.loads(line) for line in path.open()] for path in sorted((folder.root / "rounds").iterdir())]
    assert [len(answers) for answers in rounds] == [32, 32]
    by = [{one["text"].partition("|")[0] for one in answers} for answers in rounds]
    assert all(len(names) == 1 for names in by), "one set of weights a round"
    assert by[0] != by[1]
    assert {one["reward"] for one in rounds[0]} == {1.0}
    assert all(one["has_ended"] and one["answer"][-1] in one_ends(base) for one in rounds[0])
    assert metrics_of(folder)[0]["reward"] == 1.0
    assert list(folder.root.glob("tmp?*")) == [], "the weights that were shown to the server"


def one_ends(base: Path) -> list[int]:
    return [AutoTokenizer.from_pretrained(base).eos_token_id]
