"""`evo ideas check` and the libraries: what they are asked for, and what is said where they do not answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from papers_stub import Literature, literature
from workspaces import evo, make_command_workspace

from evo.workspace import recipes


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_command_workspace(tmp_path_factory.mktemp("check") / "w", n=20)
    shutil.copytree(recipes.shipped() / "dpo", folder / "recipes" / "dpo")
    pair = {"prompt": "what is 1 + 1", "chosen": "2", "rejected": "3"}
    (folder / "data" / "preferences.jsonl").write_text(json.dumps(pair) + "\n")
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Literature]:
    monkeypatch.setattr("evo.ideas.web.PACES", {})
    with literature() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def queries(here: Literature) -> list[str]:
    return [query for path in here.asked for query in parse_qs(urlsplit(path).query).get("search_query", [])]


def test_arxiv_is_asked_by_the_words_that_tell(workspace: Path, here: Literature) -> None:
    """Where no paper has them all, by the first of them."""
    here.papers["2610.00002"] = ("The Learning Rate of LoRA", "We look at it.", 2026)
    found = evo("ideas", "check", "a LoRA with a higher learning rate", cwd=workspace).data
    assert [one["text"] for one in found["papers"]] == ["The Learning Rate of LoRA"]
    assert evo("ideas", "check", "zxqv beyond plonk of wibble", cwd=workspace).data["papers"] == []
    asked = ["all:LoRA AND all:learning AND all:rate", "all:zxqv AND all:beyond AND all:plonk AND all:wibble"]
    assert queries(here) == [*asked, "all:zxqv AND all:beyond"]


def test_literature_for_a_fresh_tree_is_about_its_task(workspace: Path, here: Literature) -> None:
    page = workspace / "mission.md"
    page.write_text("# Mission\n\nAnswer grade school math word problems.\n")
    assert evo("ideate", "--brief", "literature", cwd=workspace).data["ideas"]
    assert queries(here)
    assert not [query for query in queries(here) if "BASE" in query or "all:grade" not in query]


def test_a_library_that_does_not_answer_is_told_each_time(workspace: Path, here: Literature) -> None:
    here.broken = (503, {})
    for _ in range(2):
        answer = evo("ideas", "check", "ternary weights for adapters", cwd=workspace).document
        assert answer["data"]["papers"] == []
        assert [warning.split()[0] for warning in answer["warnings"]] == ["arxiv", "huggingface"]


def test_what_says_nothing_is_not_called_done(workspace: Path) -> None:
    found = evo("ideas", "check", "the", cwd=workspace).data
    assert (found["tree"], found["novelty"]) == ([], 1.0)
    assert found["verdict"].startswith("none of its words")


def test_the_nearest_claims_come_first(workspace: Path) -> None:
    """Read or remembered: the likeness that is shown is the order."""
    words = "on-policy distillation from a teacher on the student's own samples"
    found = evo("ideas", "check", words, cwd=workspace).data["knowledge"]
    assert found[0]["id"] == "gkd"
    likenesses = [one["likeness"] for one in found]
    assert likenesses == sorted(likenesses, reverse=True)
