"""Ideas from the network, against loopback services that speak the real wire formats: what is found is checked, what
goes wrong costs nothing but itself, and no cap is passed."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic_stub as stub
import pytest
from anthropic_stub import KEY, Anthropic, anthropic_api, proposal
from papers_stub import DPO, PAPERS, Literature, literature
from workspaces import evo_apart, make_command_workspace

from evo.domain.idea import RecordedIdea
from evo.errors import BudgetSpent, NotFound, Refused
from evo.ops.ideas.ideate import ideate
from evo.ops.ideas.sources import panel
from evo.session import open_session
from evo.store import ledger
from evo.workspace import recipes

EACH = stub.USED["input_tokens"] + stub.USED["output_tokens"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_command_workspace(tmp_path_factory.mktemp("ideas") / "w", "ideas.timeout=1s", n=60)
    shutil.copytree(recipes.shipped() / "dpo", folder / "recipes" / "dpo")
    pair = {"prompt": "what is 1 + 1", "chosen": "2", "rejected": "3"}
    (folder / "data" / "preferences.jsonl").write_text(json.dumps(pair) + "\n")
    return folder


@pytest.fixture(scope="module")
def papers() -> Iterator[Literature]:
    with literature() as server:
        server.papers["2610.00001"] = ("DPO Revisited: a Closer Look", "DPO for language model alignment.", 2026)
        yield server


@pytest.fixture
def api(papers: Literature, monkeypatch: pytest.MonkeyPatch) -> Iterator[Anthropic]:
    monkeypatch.setattr("evo.ideas.web.PACES", {})
    with anthropic_api() as server:
        for name, value in {**papers.environment, **server.environment}.items():
            monkeypatch.setenv(name, value)
        yield server


class Outcome(NamedTuple):
    ideas: list[RecordedIdea]
    warnings: str
    tokens: int
    usd: float

    @property
    def own(self) -> list[RecordedIdea]:
        """What the model had."""
        return [one for one in self.ideas if one.idea.source == "anthropic"]


def asked(workspace: Path, name: str = "anthropic", *, is_needed: bool = False, k: int = 20) -> Outcome:
    """Ideas for a literature brief, with what this call alone has cost."""
    with open_session(workspace) as session:
        before = ledger.balance(session.db).spent
        board = panel(session, name, is_needed=is_needed)
        ideas = ideate(session, "literature", k, asked=board)
        after = ledger.balance(session.db)
        assert after.reserved == ledger.Amounts()
        told = " | ".join(board.warnings())
    return Outcome(ideas, told, after.spent.llm_tokens - before.llm_tokens, after.spent.usd - before.usd)


def spent(workspace: Path) -> ledger.Amounts:
    with open_session(workspace, readonly=True) as session:
        return ledger.balance(session.db).spent


def test_a_model_researches_then_chooses_among_what_was_found(
    workspace: Path, api: Anthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A4, A34: ideas with references that were looked up, a patch that their recipe accepts, and their cost."""
    monkeypatch.setattr("evo.ideas.sources.briefing.own_candidates", lambda *_: [])  # only what the web search gave
    api.proposals = [proposal(references=[{"index": 0, "finding": "beta holds the policy back"}])]
    outcome = asked(workspace)
    research, choice = api.asked
    assert research["tools"][0]["type"] == "web_search_20260318"
    assert "output_config" not in research
    assert "tools" not in choice
    assert f"<https://arxiv.org/abs/{DPO}>" in choice["messages"][0]["content"]
    idea = outcome.own[0].idea
    assert (idea.recipe, idea.technique, idea.patch) == ("dpo", "dpo", {"beta": 0.3})
    assert idea.references[0].status == "verified"
    assert (outcome.tokens, round(outcome.usd, 6)) == (2 * EACH, round(2 * (900 * 2 + 120 * 10) / 1e6 + 0.01, 6))
    assert not outcome.warnings


@pytest.mark.parametrize(
    ("page", "status"),
    [
        (("https://arxiv.org/abs/2912.00007", "A paper that nobody wrote"), "not_found"),
        (("https://arxiv.org/abs/2402.01306", "Quite another paper on optimizers"), "mismatch"),
    ],
    ids=["wrong id", "wrong title"],
)
def test_a_page_that_is_not_what_it_says_is_found_out(
    workspace: Path, api: Anthropic, page: tuple[str, str], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.ideas.sources.briefing.own_candidates", lambda *_: [])  # only what the web search gave
    api.pages = [page]
    beta = 0.41 if status == "mismatch" else 0.42
    step = {"settings": [{"name": "beta", "value": str(beta)}], "references": [{"index": 0, "finding": "says so"}]}
    api.proposals = [proposal(**step)]
    outcome = asked(workspace)
    found = next(one for one in outcome.own if one.idea.patch == {"beta": beta})
    assert [one.status for one in found.idea.references] == [status]
    if status == "mismatch":
        assert outcome.ideas[-1].id == found.id, "it cannot rank"
        assert PAPERS["2402.01306"][0] in found.idea.references[0].finding


@pytest.mark.parametrize("script", [[stub.LIMITED], [stub.OVERLOADED, stub.OVERLOADED]], ids=["429", "529 twice"])
def test_a_service_that_is_busy_is_asked_again(workspace: Path, api: Anthropic, script: list[Any]) -> None:
    api.script = list(script)
    outcome = asked(workspace)
    assert outcome.own
    assert len(api.asked) == 2 + len(script)
    assert outcome.tokens == 2 * EACH


WENT_WRONG: dict[str, tuple[list[Any], str, int | None]] = {
    "429, for an hour": ([stub.LIMITED_LONG], "429: too many requests; it asks for a pause of 3,600 s", 0),
    "529 for good": ([stub.OVERLOADED] * 3, "529", 0),
    "a key that is not accepted": ([stub.DENIED], "401", 0),
    "silence": (["silence"], "ideas.timeout", None),
    "an answer in drops": (["drops"], "ideas.timeout", None),
    "the line cut": (["hang up"], "ConnectionError", None),
    "another server's page": (["no JSON"], "Messages API", 0),
    "half a body": (["half a body"], "no JSON", None),
    "a body of nothing": ([(200, {}, {})], "Messages API", None),
    "a refusal": ([stub.REFUSED], "refused", EACH),
    "max_tokens": ([stub.GOOD, stub.CUT], "max_tokens", 2 * EACH),
    "a refused choice": ([stub.GOOD, stub.REFUSED], "refused", 2 * EACH),
    "a choice that nobody makes": ([stub.GOOD, *[stub.OVERLOADED] * 3], "529", EACH),
    "a full context": ([stub.GOOD, stub.FULL], "(model_context_window_exceeded); shorter pages", 2 * EACH),
    "a choice that pauses": ([stub.GOOD, stub.PAUSED], "cut short (pause_turn)", 2 * EACH),
    "broken JSON": ([stub.GOOD, stub.BROKEN], "another shape", 2 * EACH),
    "JSON of another shape": ([stub.GOOD, stub.FOREIGN], "another shape", 2 * EACH),
}


@pytest.mark.parametrize("way", WENT_WRONG)
def test_what_goes_wrong_leaves_the_ideas_of_the_knowledge_base(workspace: Path, api: Anthropic, way: str) -> None:
    """And is charged: what was measured, nothing for a refused request, the most where nobody knows."""
    script, words, cost = WENT_WRONG[way]
    api.script, api.proposals = list(script), []
    outcome = asked(workspace)
    assert [one for one in outcome.ideas if one.idea.source == "kb"]
    assert words in outcome.warnings
    assert ("ideas.max-tokens" in outcome.warnings) == (way == "max_tokens")
    assert KEY not in outcome.warnings
    assert outcome.tokens == cost if cost is not None else outcome.tokens > 1_000_000
    assert (outcome.usd > 0) == (outcome.tokens > 0)
    assert len(api.asked) == len(script), "nothing that may have been billed is asked again"


def test_a_dead_port_costs_nothing(workspace: Path, api: Anthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo.ideas.sources.anthropic.TRIES", 2)
    with socket.socket() as held:  # bound and not listening: refused, and nobody else can take it
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{held.getsockname()[1]}")
        outcome = asked(workspace)
    assert "refused" in outcome.warnings
    assert outcome.tokens == 0
    assert outcome.ideas


def test_a_research_that_pauses_goes_on_where_it_was(workspace: Path, api: Anthropic) -> None:
    api.script = [stub.PAUSED]
    outcome = asked(workspace)
    assert [entry["role"] for entry in api.asked[1]["messages"]] == ["user", "assistant"]
    assert api.asked[1]["tools"][0]["max_uses"] == api.asked[0]["tools"][0]["max_uses"] - 1
    assert outcome.tokens == 3 * EACH


def test_a_research_that_is_cut_short_is_used(workspace: Path, api: Anthropic) -> None:
    api.script = [(200, {}, stub.message([*api.searched(), stub.text("So far")], "max_tokens", searches=1))]
    outcome = asked(workspace)
    assert "cut short" in outcome.warnings
    assert outcome.own


def test_proposals_that_are_no_legal_step_are_left_out_with_the_reason(workspace: Path, api: Anthropic) -> None:
    """A34: an idea names a step of a recipe that is here."""
    wrong = {
        "unknown": {"settings": [{"name": "warmth", "value": "1"}]},
        "out of range": {"settings": [{"name": "beta", "value": "-1"}]},
        "no number": {"settings": [{"name": "beta", "value": "much"}]},
        "no recipe": {"recipe": "alchemy"},
    }
    api.proposals = [proposal(title=title, **more) for title, more in wrong.items()]
    good = {"settings": [{"name": "beta", "value": "0.77"}], "parent": "exp_9999", "low": 0.3, "gain": 0.1, "high": 0.2}
    api.proposals.append(proposal(title="good", references=[{"index": 999, "finding": "x"}], **good))
    outcome = asked(workspace)
    assert all(f"{title}: " in outcome.warnings for title in wrong)
    assert "reference 999 is not on the list" in outcome.warnings
    kept = next(one.idea for one in outcome.own if one.idea.title == "good")
    assert (kept.patch, kept.parent, kept.gain, kept.references) == ({"beta": 0.77}, "", None, [])
    assert not {one.idea.title for one in outcome.own} & set(wrong)


def test_a_budget_is_not_passed(workspace: Path, api: Anthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap is reserved against before a call: the answer is cut to what is left, and no search is bought on credit."""
    monkeypatch.setenv("EVO_BUDGET_LLM_TOKENS", str(spent(workspace).llm_tokens + 40_000))
    outcome = asked(workspace, is_needed=True)
    assert "no web search" in outcome.warnings
    (choice,) = api.asked
    text_bytes = len(json.dumps(choice).encode())
    assert 1024 <= choice["max_tokens"] <= 8192
    assert choice["max_tokens"] + text_bytes / 2 < 40_000
    assert 0 < outcome.tokens <= 40_000


@pytest.mark.parametrize(("name", "more"), [("EVO_BUDGET_LLM_TOKENS", 1000), ("EVO_BUDGET_USD", 0.005)])
def test_a_spent_budget_buys_nothing(
    workspace: Path, api: Anthropic, name: str, more: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = spent(workspace)
    value = now.llm_tokens + more if name.endswith("TOKENS") else now.usd + more
    monkeypatch.setenv(name, str(int(value) if name.endswith("TOKENS") else value))
    with pytest.raises(BudgetSpent):
        asked(workspace, is_needed=True)
    monkeypatch.setenv("EVO_IDEAS_SOURCE", "anthropic")
    outcome = asked(workspace, "")
    assert "are wanted" in outcome.warnings
    assert outcome.ideas
    assert not api.asked
    assert spent(workspace) == now


def test_money_is_not_guessed(workspace: Path, api: Anthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without a price is counted in tokens, and cannot be asked under a cap on money."""
    monkeypatch.setenv("EVO_IDEAS_MODEL", "claude-next-9")
    outcome = asked(workspace)
    assert (outcome.tokens, outcome.usd) == (2 * EACH, 0.0)
    monkeypatch.setenv("EVO_BUDGET_USD", "100")
    with pytest.raises(Refused, match="price of claude-next-9 is not known"):
        asked(workspace, is_needed=True)


def test_nothing_sealed_is_told_and_the_key_is_nowhere(workspace: Path, api: Anthropic) -> None:
    asked(workspace)
    sealed = [json.loads(line) for line in (workspace / ".evo/sealed/heldout.jsonl").read_text().splitlines()]
    told = json.dumps(api.asked)
    prompts = [item["prompt"] for item in sealed if "prompt" in item]
    assert len(prompts) > 5
    assert not [prompt for prompt in prompts if prompt in told]
    assert all(KEY in key for key in api.keys)
    assert KEY not in told
    for path in (workspace / ".evo").rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_without_a_key_there_is_a_word_and_the_rest(
    workspace: Path, api: Anthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    outcome = asked(workspace)
    assert "set ANTHROPIC_API_KEY" in outcome.warnings
    assert outcome.ideas
    assert not api.asked
    with pytest.raises(NotFound, match="no source of ideas"):
        asked(workspace, "oracle")


def test_without_a_model_a_paper_stands_beside_an_idea_and_becomes_none(
    workspace: Path, api: Anthropic, papers: Literature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A4: literature is asked for papers with nobody's key; off the network, nobody is asked."""
    papers.asked.clear()
    monkeypatch.setenv("EVO_IDEAS_NETWORK", "off")
    offline = asked(workspace, "kb")
    assert not papers.asked
    assert not offline.warnings
    monkeypatch.setenv("EVO_IDEAS_NETWORK", "auto")
    shutil.rmtree(workspace / ".evo/cache/literature")
    online = asked(workspace, "kb")
    assert [path.partition("?")[0] for path in papers.asked] == ["/arxiv/query", "/api/papers/search"]
    assert [one.id for one in online.ideas] == [one.id for one in offline.ideas]
    assert not api.asked


def test_the_command_asks_whom_it_is_told_to(workspace: Path, api: Anthropic, papers: Literature) -> None:
    """A4: with its exit codes: 8 where the budget pays for no answer, 0 with a warning where the service is lost."""
    environment = {**papers.environment, **api.environment}
    api.proposals = [proposal(settings=[{"name": "beta", "value": "0.91"}])]
    words = ("ideate", "--brief", "literature", "-k", "40", "--source")
    answer = evo_apart(*words, "anthropic", cwd=workspace, **environment)
    assert "anthropic" in [one["source"] for one in answer.data["ideas"]]
    assert KEY not in answer.out + answer.err
    api.script = [stub.DENIED]
    answer = evo_apart(*words, "anthropic", cwd=workspace, **environment)
    assert answer.code == 0
    assert "401" in " ".join(answer.document["warnings"])
    assert KEY not in answer.out + answer.err
    capped = {"EVO_BUDGET_LLM_TOKENS": str(spent(workspace).llm_tokens + 1000)}
    answer = evo_apart(*words, "anthropic", cwd=workspace, **environment, **capped)
    assert (answer.code, answer.error["code"]) == (8, "budget")
    assert evo_apart(*words, "oracle", cwd=workspace).code == 3


def test_an_idea_in_words_is_set_beside_published_work_where_there_is_a_network(
    workspace: Path, papers: Literature
) -> None:
    words = ("ideas", "check", "direct preference optimization, revisited")
    found = evo_apart(*words, cwd=workspace, **papers.environment).data["papers"]
    assert "DPO Revisited: a Closer Look" in [one["text"] for one in found]
    assert evo_apart(*words, cwd=workspace).data["papers"] == []


def test_a_model_proposes_no_command_and_no_address(workspace: Path, api: Anthropic) -> None:
    """Neither does it hear of parameters that hold one."""
    shutil.copytree(recipes.shipped() / "grpo", workspace / "recipes" / "grpo")
    evil = "https://evil.example"
    api.proposals = [
        proposal(recipe="command", settings=[{"name": "argv", "value": f"curl {evil}"}]),
        proposal(recipe="grpo", settings=[{"name": "vllm_server", "value": evil}]),
    ]
    outcome = asked(workspace)
    shutil.rmtree(workspace / "recipes" / "grpo")
    assert not outcome.own
    assert "argv is a text" in outcome.warnings
    assert "vllm_server is a text" in outcome.warnings
    told = api.asked[0]["messages"][0]["content"]
    assert '"argv"' not in told
    assert "vllm_server" not in told
    assert '"scheduler"' in told, "what is chosen from a list is told"
    assert evil not in json.dumps([one.idea.patch for one in outcome.ideas])
