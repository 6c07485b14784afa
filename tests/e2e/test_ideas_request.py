"""What a language model is told before it proposes, read off the requests that a loopback service receives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic_stub import Anthropic, all_services
from ideation import task, tree
from workspaces import evo, make_command_workspace, new, skilled

from evo.ideas.facts import Facts
from evo.ideas.sources import briefing
from evo.ops.ideas.ideate import ideate
from evo.ops.ideas.reading import reading_of
from evo.ops.ideas.sources import panel
from evo.ops.loop.margin import LINE
from evo.session import open_session
from evo.workspace import recipes

SECRET = "hf_abcdefghijklmnopqrstuv"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored baseline and a better child, one recipe with data, and the pages as `evo init` left them."""
    root = make_command_workspace(tmp_path_factory.mktemp("request") / "w", "ideas.timeout=5s", n=60)
    shutil.copytree(recipes.shipped() / "dpo", root / "recipes" / "dpo")
    (root / "data" / "preferences.jsonl").write_text('{"prompt": "1 + 1", "chosen": "2", "rejected": "3"}\n')
    assert evo("run", new(root, skilled(0.7), "more skill"), cwd=root).code == 0
    return root


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Anthropic]:
    with all_services(monkeypatch) as server:
        yield server


@pytest.fixture
def pages(workspace: Path) -> Iterator[Path]:
    """The workspace, its pages afterwards as they were."""
    kept = {name: (workspace / name).read_text() for name in ("mission.md", "BACKGROUND.md")}
    yield workspace
    for name, text in kept.items():
        (workspace / name).write_text(text)
    for name in ("AGENT_CONTEXT.md", "PLAN.md"):
        (workspace / name).unlink(missing_ok=True)


def told(workspace: Path, api: Anthropic) -> list[dict[str, Any]]:
    """The facts of each request of one call, research first."""
    with open_session(workspace) as session:
        board = panel(session, "anthropic", is_needed=True)
        ideate(session, "literature", asked=board)
        assert not board.warnings()
    prompts = [request["messages"][0]["content"] for request in api.asked]
    assert len(prompts) == 2
    return [json.JSONDecoder().raw_decode(prompt[prompt.index("{") :])[0] for prompt in prompts]


def test_a_model_reads_what_people_wrote_what_the_loop_noted_and_what_is_wrong_now(pages: Path, api: Anthropic) -> None:
    """C7: BACKGROUND whole, the end of AGENT_CONTEXT, PLAN, failures with input, expected and actual."""
    background = f"# Background\n\n{'ground ' * 20_000}\n{LINE}\n\n- exp_0001 is certified\n"
    (pages / "BACKGROUND.md").write_text(background)
    (pages / "AGENT_CONTEXT.md").write_text("old " * 5000 + "newest")
    (pages / "PLAN.md").write_text(f"# Plan\n\nfirst this\n{LINE}\n\nthen that\n")
    (pages / "mission.md").write_text("# Squares\n\nTo square.\n\n## Constraints\n\n- no tables\n\n## For\n\nBakers.\n")
    for facts in told(pages, api):
        assert facts["background"] == background
        assert facts["newest_notes"] == ("old " * 5000 + "newest")[-5000:]
        assert "first this" in facts["plan"]
        assert "then that" in facts["plan"]
        assert "To square." in facts["mission"]
        assert "Bakers." in facts["mission"]
        assert facts["task"]["constraints"] == ["no tables"]
        failure = facts["dev_items_that_the_best_got_wrong"][0]
        number = failure["id"].removeprefix("q")
        assert failure["input"] == f"question {number}: what is {number} times {number}"
        assert failure["expected"] == str(int(number) ** 2)
        assert float(failure["actual"]) > 0.7
        assert facts["recipes"]["dpo"]["params"]["beta"]["doc"]
        assert facts["recipes"]["dpo"]["init_from"] == "parent"
    for request in api.asked:
        assert "positive is better" in request["system"]
        assert "an empty parent leaves the choice to the search policy" in request["system"]
    everything = json.dumps(api.asked)
    sealed = [json.loads(line) for line in (pages / ".evo/sealed/heldout.jsonl").read_text().splitlines()]
    assert not [item["id"] for item in sealed if "prompt" in item and item["prompt"] in everything]


def test_a_page_that_nobody_filled_in_is_no_mission(pages: Path, api: Anthropic) -> None:
    for facts in told(pages, api):
        assert not {"mission", "background", "plan", "newest_notes"} & set(facts)
        assert "objective" not in facts["task"]
    assert "What is to be improved" not in json.dumps(api.asked)
    assert "Whoever proposes the next experiment" not in json.dumps(api.asked)


def test_a_secret_in_a_page_stays_here(pages: Path, api: Anthropic) -> None:
    """Also where the cut at 5000 characters goes through it."""
    (pages / "BACKGROUND.md").write_text(f"The token is {SECRET}.\n")
    (pages / "AGENT_CONTEXT.md").write_text(f"{SECRET}{'x ' * 2495}")
    (pages / "PLAN.md").write_text(f"1. log in with {SECRET}\n")
    told(pages, api)
    assert SECRET[-10:] not in json.dumps(api.asked)


def test_without_a_model_people_steer_the_search_for_claims_and_the_loop_does_not(pages: Path) -> None:
    (pages / "PLAN.md").write_text(f"# Plan\n\n{LINE}\n\nLoop 1: dropout everywhere\n")
    with open_session(pages, readonly=True) as session:
        assert reading_of(session).words.split() == []
        (pages / "BACKGROUND.md").write_text(f"# Background\n\nOur bakers.\n\n{LINE}\n\n- exp_0001: dropout\n")
        (pages / "PLAN.md").write_text(f"# Plan\n\nAsk Ada.\n\n{LINE}\n\nLoop 1: dropout everywhere\n")
        (pages / "mission.md").write_text((pages / "mission.md").read_text().replace("What is to", "What is not to"))
        words = reading_of(session).words
    assert "What is not to be improved" in words
    assert "Our bakers." in words
    assert "Ask Ada." in words
    assert "dropout" not in words


def test_differences_are_told_in_the_units_in_which_ideas_promise() -> None:
    """Gains are kept in units of the base's spread where a metric has no range; promises are in the metric's own."""
    facts: Facts = tree(task("demonstrations", unit=20.0, is_maximised=False), {"recipe": "sft", "gain": 0.5})
    prompt = briefing.task_of(facts, "frontier_extrapolation", 5)
    known = json.loads(prompt[prompt.index("{") :])["experiments"]
    (child,) = (node for node in known if node["id"] == "exp_0001")
    assert (child["gain"], child["delta"], child["se"], child["delta_se"]) == (10.0, 10.0, 0.2, 0.2)


def test_the_best_and_what_failed_beside_it_are_told_however_deep_the_tree() -> None:
    chain = [{"recipe": "sft", "gain": k / 100, "parent": f"exp_{k - 1:04d}"} for k in range(1, 60)]
    facts: Facts = tree(task("demonstrations"), *chain, {"recipe": "sft", "failure": "nan"})
    prompt = briefing.task_of(facts, "failure_analysis", 5)
    known = [node["id"] for node in json.loads(prompt[prompt.index("{") :])["experiments"]]
    assert len(known) == 30
    assert {"exp_0059", "exp_0060"} <= set(known)
