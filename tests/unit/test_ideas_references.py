"""References: which titles are one, what each status means, and how the network is asked."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest
from papers_stub import DPO, PAPERS, Literature, literature

from evo import registry
from evo.domain.idea import Idea, Reference
from evo.ideas import fetching, knowledge, web
from evo.ideas.bibliography import Bibliography
from evo.ideas.cache import Cache
from evo.ideas.enrich import enriched
from evo.ideas.references import Target, identify, is_same_title
from evo.ideas.web import Web

TITLE = PAPERS[DPO][0]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Literature]:
    with literature() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(web, "PACES", {"arxiv": 0.3})
        yield server


def library(folder: Path, *, is_on: bool = True) -> Bibliography:
    load = partial(registry.load, "literature")
    return Bibliography(Web(Cache(folder), is_on=is_on), registry.names("literature"), load)


def citing(url: str, title: str) -> Idea:
    return Idea("t", "literature", "dpo", "h", references=[Reference(url, "arxiv", title, "says so")])


@pytest.mark.parametrize(
    "shown",
    [
        TITLE,
        "direct preference optimization – your language model is secretly a reward model",
        "[2305.18290] Direct Preference Optimization: Your Language Model is Secretly a Reward Model | arXiv",
        "Paper page - Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "Direct Preference Optimization",
        r"Direct {Preference} \emph{Optimization}: Your Language Model is Secretly a Reward Model",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Function",
        "(PDF) Direct Preference Optimization (DPO): Your Language Model is Secretly a Reward Model",
        "The Direct Preference Optimization: Your Language Model Secretly Is the Reward Model",
    ],
)
def test_a_title_is_known_in_other_spellings(shown: str) -> None:
    assert is_same_title(shown, TITLE)


@pytest.mark.parametrize(
    ("claimed", "found"),
    [
        ("LoRA+: Efficient Low Rank Adaptation of Large Models", "LoRA: Low-Rank Adaptation of Large Language Models"),
        ("LIMA: Less Is More for Alignment", "LIMR: Less is More for RL Scaling"),
        ("Attention Is All You Need", TITLE),
        ("The Llama 4 Herd of Models", "The Llama 3 Herd of Models"),
        ("Qwen2 Technical Report", "Qwen2.5 Technical Report"),
        ("Qwen2.5 Technical Report", "Qwen2.5-VL Technical Report"),
        ("DeepSeek-V3 Technical Report", "DeepSeek-V3.2 Technical Report"),
        ("Self-Rewarding Language Models", "Process-based Self-Rewarding Language Models"),
        ("Self-Rewarding Language Models", "Self-Rewarding Vision Language Models"),
        ("Tricks or Traps Part I: A Deep Dive into RL", "Tricks or Traps Part II: A Deep Dive into RL"),
        ("What Is It?", "How Are We?"),
        ("Preference", TITLE),
        ("", TITLE),
    ],
)
def test_another_paper_is_another_title(claimed: str, found: str) -> None:
    assert not is_same_title(claimed, found)
    assert not is_same_title(found, claimed)


def test_no_two_shipped_papers_are_taken_for_one() -> None:
    titles = [paper.title for paper in knowledge.load().papers.values()]
    assert len(titles) > 50
    assert not [pair for pair in itertools.combinations(titles, 2) if is_same_title(*pair)]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://arxiv.org/pdf/2305.18290v3.pdf", Target("arxiv", DPO)),
        ("arxiv:hep-th/9901001", Target("arxiv", "hep-th/9901001")),
        ("https://huggingface.co/papers/2402.01306", Target("huggingface", "papers/2402.01306")),
        ("https://huggingface.co/datasets/openai/gsm8k/viewer", Target("huggingface", "datasets/openai/gsm8k")),
        ("https://github.com/huggingface/trl/tree/main", Target("github", "huggingface/trl")),
        ("https://arxiv.org/abs/not-a-number", None),
        ("file:///etc/passwd", None),
        ("https://[bad/", None),
        ("https://example.com:99999/x", None),
        ("https://example.com:x/", None),
        ("https://ex\u2100mple.com/", None),
    ],
)
def test_what_an_address_names(url: str, target: Target | None) -> None:
    assert identify(url) == target


@pytest.mark.parametrize(
    ("url", "title", "status"),
    [
        (f"https://arxiv.org/abs/{DPO}", TITLE, "verified"),
        (f"https://arxiv.org/abs/{DPO}", "Proximal Policy Optimization Algorithms", "mismatch"),
        ("https://arxiv.org/abs/2999.99999", TITLE, "not_found"),
        ("https://arxiv.org/abs/2912.00007", TITLE, "not_found"),
        ("https://arxiv.org/abs/2912.99999", TITLE, "not_found"),
        (f"https://huggingface.co/papers/{DPO}", TITLE, "verified"),
        ("https://huggingface.co/papers/2999.99999", TITLE, "not_found"),
        ("https://github.com/huggingface/trl", "huggingface/trl: GRPO and friends", "verified"),
        ("https://github.com/huggingface/trl", "axolotl", "mismatch"),
        ("https://github.com/nobody/nothing", "nothing", "not_found"),
    ],
)
def test_a_reference_is_verified_by_its_own_service(
    here: Literature, tmp_path: Path, url: str, title: str, status: str
) -> None:
    """A4: references are of arXiv, Hugging Face, GitHub; each with what its address was found to be."""
    found = library(tmp_path).resolved([citing(url, title)])[0].references[0]
    assert found.status == status
    assert (TITLE in found.finding) == (status == "mismatch" and "arxiv" in url)


def test_papers_with_public_code_say_so(here: Literature, tmp_path: Path) -> None:
    found = library(tmp_path).resolved([citing(f"https://huggingface.co/papers/{DPO}", TITLE)])[0]
    assert found.confidence == ["has code"]


def test_many_papers_of_arxiv_are_one_request_and_an_answer_is_kept(here: Literature, tmp_path: Path) -> None:
    ideas = [citing(f"https://arxiv.org/abs/{id}", paper[0]) for id, paper in PAPERS.items()]
    for _ in range(2):
        found = library(tmp_path).resolved(ideas)
        assert [idea.references[0].status for idea in found] == ["verified", "verified"]
    assert len(here.asked) == 1
    assert library(tmp_path, is_on=False).resolved(ideas)[0].references[0].status == "verified"


@pytest.mark.parametrize("status", [400, 200])
def test_one_number_that_cannot_be_read_does_not_cost_the_others(here: Literature, tmp_path: Path, status: int) -> None:
    here.refuses, wrong = status, "2912.99999"
    ideas = [citing(f"https://arxiv.org/abs/{id}", PAPERS[id][0] if id in PAPERS else "t") for id in (*PAPERS, wrong)]
    found = library(tmp_path).resolved(ideas)
    assert [idea.references[0].status for idea in found] == ["verified", "verified", "not_found"]


FAULTS: dict[str, tuple[int, dict[str, str]] | str] = {
    "busy": (429, {}),
    "down": (503, {"Retry-After": "120"}),
    "broken": (500, {}),
    "silence": "silence",
    "the line cut": "hang up",
    "half a body": "half a body",
    "another server's page": "<html>a proxy's page</p></html>",
}


@pytest.mark.parametrize("service", ["arxiv", "huggingface"])
@pytest.mark.parametrize("fault", [*FAULTS, "dead port"])
def test_what_a_service_does_not_say_is_not_claimed(
    here: Literature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, fault: str
) -> None:
    """And is told, once, by the name of the service; the next one is not held up by it."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    url = f"https://arxiv.org/abs/{DPO}" if service == "arxiv" else f"https://huggingface.co/papers/{DPO}"
    with socket.socket() as held:  # bound and not listening: refused, and nobody else can take it
        held.bind(("127.0.0.1", 0))
        if fault == "dead port":
            dead = f"http://127.0.0.1:{held.getsockname()[1]}"
            monkeypatch.setenv("EVO_ARXIV_URL" if service == "arxiv" else "HF_ENDPOINT", dead)
        else:
            here.broken = FAULTS[fault]
        shelf = library(tmp_path)
        found = shelf.resolved([citing(url, TITLE), citing(url, "Another title")])
    assert [idea.references[0].status for idea in found] == ["unresolved", "unresolved"]
    assert [text for text in shelf.warnings if service in text] == shelf.warnings
    assert len(shelf.warnings) == 1
    here.broken = None
    other = citing("https://github.com/huggingface/trl", "huggingface/trl")
    assert library(tmp_path).resolved([other])[0].references[0].status == "verified"


NO_ANSWERS = ["Rate exceeded.", "<html><head><title>Login</title></head></html>", '{"message": "log in"}']


@pytest.mark.parametrize("page", NO_ANSWERS)
@pytest.mark.parametrize(
    ("url", "title"),
    [
        (f"https://arxiv.org/abs/{DPO}", TITLE),
        (f"https://huggingface.co/papers/{DPO}", TITLE),
        ("https://github.com/huggingface/trl", "huggingface/trl"),
    ],
)
def test_a_page_in_the_place_of_a_service_is_not_kept(
    here: Literature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, title: str, page: str
) -> None:
    """HTTP 200 is no sign of an answer; what an earlier evo kept of such pages is not believed either."""
    monkeypatch.setattr(web, "AWAY_S", 0.0)
    here.broken = page
    assert library(tmp_path).resolved([citing(url, title)])[0].references[0].status == "unresolved"
    Cache(tmp_path).put(f"{here.url}{here.asked[-1]}", {"is_there": True, "text": page}, hold_s=60)
    here.broken = None
    assert library(tmp_path).resolved([citing(url, title)])[0].references[0].status == "verified"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120.0), ("0.5", 0.5), (" 7 ", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)],
)
def test_a_pause_that_is_asked_for_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert web.wait_s(header) == seconds


def test_a_pause_until_a_date_lies_ahead() -> None:
    assert web.wait_s(format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)) == pytest.approx(
        300, abs=5
    )


def test_without_a_network_nothing_is_asked_and_nothing_is_claimed(here: Literature, tmp_path: Path) -> None:
    offline = library(tmp_path, is_on=False)
    assert offline.resolved([citing(f"https://arxiv.org/abs/{DPO}", TITLE)])[0].references[0].status == "unresolved"
    assert not here.asked
    assert not offline.warnings


def test_a_service_that_does_not_answer_is_left_alone_for_a_while(here: Literature, tmp_path: Path) -> None:
    here.broken = (429, {"Retry-After": "600"})
    for _ in range(2):
        found = library(tmp_path)
        assert found.resolved([citing(f"https://arxiv.org/abs/{DPO}", TITLE)])[0].references[0].status == "unresolved"
        assert "429" in found.warnings[0]
    assert len(here.asked) == 1


ASK = """\
import sys
from pathlib import Path
from evo.ideas import web
from evo.ideas.cache import Cache
web.PACES = {"arxiv": 0.3}
web.Web(Cache(Path(sys.argv[1])), is_on=True).read(web.Query("arxiv", sys.argv[2]), str)
"""


def test_requests_keep_their_pace_whoever_asks(here: Literature, tmp_path: Path) -> None:
    """Three processes at once, and three starts of a request apart."""
    asked = [(sys.executable, "-c", ASK, str(tmp_path), f"{here.url}/page?{number}") for number in range(3)]
    running = [subprocess.Popen(argv) for argv in asked]
    assert [process.wait(timeout=30) for process in running] == [0, 0, 0]
    assert len(here.when) == 3
    assert all(b - a >= 0.29 for a, b in itertools.pairwise(here.when))


def test_an_address_into_this_machine_is_not_asked(here: Literature, tmp_path: Path) -> None:
    found = library(tmp_path)
    assert found.resolved([citing(f"{here.url}/page", "LoRA Without Regret")])[0].references[0].status == "unresolved"
    assert not here.asked
    assert "public internet" in found.warnings[0]


def test_a_page_is_known_by_its_title(here: Literature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "is_public", lambda _: True)  # the page of this test is on this machine
    found = library(tmp_path).resolved([citing(f"{here.url}/page", "LoRA Without Regret & more")])[0]
    assert found.references[0].status == "verified"


def test_a_search_gives_each_paper_once_and_its_code(here: Literature, tmp_path: Path) -> None:
    found = library(tmp_path).search("preference")
    assert [(paper.title, bool(paper.code)) for paper in found] == [(TITLE, True)]


def test_a_paper_that_was_found_stands_beside_ideas_of_its_technique_alone(here: Literature, tmp_path: Path) -> None:
    """A4: recent work with its address and its code, of an idea that stays the same step."""
    found = library(tmp_path).search("preference")
    dpo, grpo = (Idea("t", "literature", name, "h", patch={"beta": 0.2}) for name in ("direct", "grpo"))
    beside, apart = enriched([dpo, grpo], found)
    assert [(one.title, one.status) for one in beside.references] == [(TITLE, "verified")]
    assert "github.com" in beside.references[0].finding
    assert beside.patch == dpo.patch
    assert apart == grpo
