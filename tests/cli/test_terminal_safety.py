"""What a model, a page, a log or a person wrote is shown on a terminal, and never steers it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.cli.blocks import Cell, Table, Text, plain_text, print_blocks, printable
from evo.cli.output import emit_error, json_text, warn
from evo.cli.render import ideas, plugin
from evo.cli.rounds import rounds
from evo.domain.idea_views import IdeaDetailView
from evo.domain.plugin_views import HookView
from evo.errors import EvoError
from evo.ops.loop.driver import Moment
from evo.session import budget_left

BAD = "a\x1b[2J\x1b]0;owned\x07\x9b2J\u202eb\rc\udc9b"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\x9b2J\u202eb\rc\udc9b"
BLOCKS = [Text(BAD, note=BAD), Table(("name", "more"), [(BAD, Cell(BAD, style="bold"))])]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def is_calm(text: str) -> bool:
    """Colours are all that is sent."""
    return not any(sign in text for sign in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\r", "\udc9b"))


def test_blocks_show_what_they_do_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_text(BLOCKS).splitlines()[0] == f"{SHOWN}  {SHOWN}"
    assert plain_text(BLOCKS).splitlines()[2].split() == [SHOWN, SHOWN]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Terminal()
    print_blocks(BLOCKS, screen)
    assert is_calm(screen.getvalue())
    assert screen.getvalue().count(SHOWN) == 4


def test_a_line_stays_one_line() -> None:
    """A line that pretends to be the next one is part of its own."""
    assert plain_text([Text("title\nevo: all is well")]) == r"title\nevo: all is well"
    assert printable("naïve 日本\u3000語 \u200c") == "naïve 日本\u3000語 \u200c"


def test_warnings_and_errors_show_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    budget_left()  # of earlier tests in this process
    warn(f"{BAD}\n second line")
    emit_error(EvoError(BAD, hint=BAD), as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [SHOWN, " second line", f"evo: {SHOWN}", f"     {SHOWN}"]


def test_a_proposal_of_a_model_shows_it() -> None:
    view = IdeaDetailView(
        id=1, state="open", title=BAD, brief="literature", technique="sft", hypothesis=BAD, parent=BAD, recipe=BAD,
        patch={BAD: BAD}, gain=None, low=None, high=None, gpu_seconds=None, risks=BAD, refuted_by=BAD, rationale=BAD,
        novelty=1.0, differs=BAD, data_source=BAD, based_on=[BAD], confidence=[BAD], commands=[BAD], source="anthropic",
        references=[], experiment=None, reason=BAD, created="",
    )  # fmt: skip
    assert is_calm(plain_text(ideas.idea(view)))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_lines_of_a_loop_show_it(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is drawn, and above the line that moves."""
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stderr", stream)
    with rounds(json_lines=False) as screen:
        screen.tell("picked", None, BAD, None)  # type: ignore[arg-type]
        screen.watch(Moment(made=1, wanted=2, best="exp_0001", score=0.5, running=[]))
        screen.tell("picked", None, BAD, None)  # type: ignore[arg-type]
    said = stream.getvalue()
    assert said.count(SHOWN) == 2
    assert not any(sign in said for sign in ("\x1b[2J\x1b]", "\x07", "\x9b", "\u202e", "\udc9b"))


@settings(max_examples=20, deadline=None)
@given(st.recursive(st.text(st.characters(codec=None)) | st.floats(allow_nan=False, allow_infinity=False),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_a_document_is_the_same_and_steers_nothing(thing: object) -> None:
    """Lone surrogates too, which no terminal could be sent at all."""
    text = json_text(thing)
    assert text.isprintable()
    assert json.loads(text) == thing


def test_what_a_client_reads_from_a_hook_is_json() -> None:
    """Whatever the brief says: an escape that only terminals know would be no JSON."""
    said = {"hookSpecificOutput": {"additionalContext": f"{BAD}\u00a0é\n"}}
    assert json.loads(plain_text(plugin.hook(HookView("session-start", said)))) == said
