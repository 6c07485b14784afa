"""The live screen as lines, drawn from states made by hand."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from rich.console import Console
from rich.text import Text

from evo.cli.live import palette
from evo.cli.live.branches import tree_lines
from evo.cli.live.canvas import Canvas, polyline
from evo.cli.live.plots import LABEL, best_plot, curve_plot
from evo.cli.live.screen import frame
from evo.cli.live.state import Curve, LiveState, Node, Work
from evo.domain.run_views import MidView, VitalsView

NODES = (
    Node("exp_0000", None, "committed", "base", "the untouched base model", 0.373, 0.028),
    Node("exp_0001", "exp_0000", "committed", "sft lora 2e-4", "a timid rate is safe", 0.523, 0.029, 0.15, True),
    Node("exp_0002", "exp_0001", "open", "sft lora 2e-2", "far more is best", 0.02, 0.008, -0.503),
    Node("exp_0003", "exp_0001", "failed", "sft lora 1e-3", "one matrix is enough", failure="nonzero_exit"),
    Node("exp_0004", "exp_0001", "open", "sft lora 1e-3", "a little is better than nothing", 0.56, 0.028, 0.037),
    Node("exp_0005", "exp_0004", "pending", "sft lora 5e-3", "between warm and hot lies the rate that learns to carry"),
)
CURVE = Curve("exp_0005", "loss", (1, 40, 80), (1.2, 0.4, 0.1), 0.0012, 200, 4.2, True)


def state(**changes: object) -> LiveState:
    made = LiveState(
        name="addition",
        nodes=NODES,
        looks_used=1,
        looks_limit=20,
        elapsed_s=102.3,
        work=(Work("exp_0005", "training", 4.1),),
        curve=CURVE,
        message="exp_0004 0.560 on dev",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


def printed(lines: list[Text], width: int) -> str:
    """What a terminal without colours gets to see."""
    console = Console(width=width, record=True, file=io.StringIO())
    for line in lines:
        console.print(line)
    return console.export_text()


def test_head_counts_every_standing_and_tells_looks_and_time() -> None:
    """The counts, the looks and the time."""
    first, second = plain(frame(state(), 120, 34))[:2]
    assert "addition" in first
    assert "◆ 2 committed  ● 2 open  ✗ 1 failed" in first
    assert "1 running" in first
    assert "looks 1/20   time 1:42" in first
    assert "exp_0005 training 0:04  from exp_0004  between warm and hot" in second


def test_each_that_runs_has_a_line_of_its_own_with_what_it_says() -> None:
    """Loss, rate, KL, memory and mid-evaluations of every run at work; a crowd is cut short."""
    mids = [MidView(40, 0.4, 0.05, 32), MidView(80, 0.6, 0.05, 32, delta=0.1, delta_se=0.05)]
    vitals = VitalsView(step=80, total=200, loss=0.1, kl=0.02, gpu_memory_gb=3.2, mids=mids, heartbeat_age_s=30.0)
    two = (Work("exp_0005", "training", 4.1, vitals), Work("exp_0004", "queued", 1.0, VitalsView()))
    lines = plain(frame(state(work=two), 150, 34))
    assert "exp_0005 training 0:04  from exp_0004  step 80/200  mid ▁█ 0.600 (+0.100 ±0.098)  loss 0.100" in lines[1]
    assert "kl 0.020  3.2 GB  heard of 0:30 ago" in lines[1]
    assert "exp_0004 queued 0:01  from exp_0001  a little is better than nothing" in lines[2]
    crowd = plain(frame(state(work=two * 4), 150, 34))
    assert crowd[5].strip() == "… 4 more at work"
    assert len(crowd) == 34


def test_mid_evaluations_stand_on_the_curve_at_their_steps() -> None:
    """A10: each is a point on the live view, between the lowest and the highest of them."""
    curve = dataclasses.replace(CURVE, mids=((20, 0.2), (40, 0.6), (60, 0.4)))
    rows = plain(curve_plot(curve, LABEL + 60, 21))
    marks = [(x, y) for y, row in enumerate(rows) for x, sign in enumerate(row) if sign == "◦"]
    by_step = sorted(marks)
    assert len(by_step) == 3
    heights = [y for _, y in by_step]
    assert heights[1] < heights[2] < heights[0], "higher is better placed"
    assert "mid ▁█▅ 0.400" in frame(state(curve=curve), 150, 34)[2].plain


def test_best_score_steps_up_with_interval_and_a_diamond_at_the_commit_only() -> None:
    """The step plot of the best score with its interval, and a mark at each commit."""
    drawn = frame(state(), 120, 34)
    assert "best on dev 0.560  [0.505, 0.615]  exp_0004" in drawn[2].plain
    plot = best_plot(state(), LABEL + 60, 21)
    rows = plain(plot)
    marks = {sign: [(y, x) for y, row in enumerate(rows) for x, c in enumerate(row) if c == sign] for sign in "◇◆▼●✗"}
    assert [len(marks[sign]) for sign in "◇◆▼●✗"] == [1, 1, 1, 1, 1]
    # 20 rows for [0, 1]: a score stands in row 19 - int(score · 80 dots / 4)
    assert [marks[sign][0][0] for sign in "◇◆▼●✗"] == [12, 9, 19, 8, 19]
    columns = [marks[sign][0][1] for sign in "◇◆▼✗●"]
    assert columns == sorted(columns), "one after the other, by number"
    assert columns == [rows[-1].index(str(i)) for i in range(5)], "each above its number"


def test_the_band_is_as_high_as_the_interval() -> None:
    """Its interval is drawn, not only said."""

    def height(se: float) -> int:
        node = dataclasses.replace(NODES[0], score=0.5, se=se)
        rows = plain(best_plot(state(nodes=(node,), work=()), LABEL + 60, 21))
        return sum(any("\u2801" <= c <= "\u28ff" for c in row) for row in rows)

    assert height(0.0) == 1
    assert height(0.1) == pytest.approx(2 * 1.96 * 0.1 * 20, abs=1.01)


def test_the_best_never_falls_and_a_discarded_score_is_not_the_best() -> None:
    better = Node("exp_0006", "exp_0000", "discarded", "sft", "too good to be true", 0.99, 0.01, 0.6)
    line = state(nodes=(*NODES, better)).best_so_far()
    held = [node.id if node else None for node in line]
    assert held == ["exp_0000", "exp_0001", "exp_0001", "exp_0001", "exp_0004", "exp_0004", "exp_0004"]


def test_less_is_better_turns_best_and_worse_round() -> None:
    turned = state(is_min=True)
    assert [node.id for node in turned.best_so_far() if node][-1] == "exp_0002"
    rows = plain(tree_lines(turned, 110, 10))
    assert "● exp_0002" in rows[2]
    assert "▼ exp_0004" in rows[4]


def test_tree_shows_guide_score_standing_technique_and_hypothesis() -> None:
    """The growing tree."""
    rows = [row.rstrip() for row in plain(tree_lines(state(), 116, 8))]
    assert rows[0].startswith("◇ exp_0000        0.373 ±.055          baseline     base")
    assert rows[1].startswith("╰─◆ exp_0001      0.523 ±.057  +0.150  committed    sft lora 2e-4 a timid rate is safe")
    assert rows[2].startswith("  ├─▼ exp_0002    0.020 ±.016  -0.503  open, worse  sft lora 2e-2 far more is best")
    assert rows[3].startswith("  ├─✗ exp_0003    –                    failed       sft lora 1e-3 one matrix is enough")
    assert rows[3].endswith("· nonzero_exit")
    assert rows[5].startswith("    ╰─⠸ exp_0005")
    assert "training 4s" in rows[5]
    assert rows[6:] == ["", ""]


def test_at_80_columns_long_lines_end_in_an_ellipsis_and_the_score_stays() -> None:
    """A narrow terminal loses the end of the hypothesis, not the numbers."""
    row = plain(tree_lines(state(), 76, 8))[5]
    assert len(row) == 76
    assert row.rstrip().endswith("…")
    assert "training 4s  sft lora 5e-3 between" in row
    assert "0.523  committed" in plain(tree_lines(state(), 76, 8))[1]
    head = plain(frame(state(), 80, 24))[0]
    assert "◆2 ●2 ✗1 ⠸1" in head, "the words of the counts give way to the looks"
    assert "looks 1/20   time 1:42" in head


@pytest.mark.parametrize("width", [12, 30, 60, 72, 80, 100, 140, 300])
@pytest.mark.parametrize("height", [3, 8, 12, 24, 34, 60])
def test_a_frame_fills_its_screen_and_no_more(width: int, height: int) -> None:
    chain = [
        Node(f"exp_{i:04d}", f"exp_{i - 1:04d}", "open", "sft", "日本語 " * 20, 0.5, 0.1, 0.0) for i in range(6, 70)
    ]
    for shown in (state(), state(nodes=(*NODES, *chain)), state(nodes=NODES[:1], curve=None, work=())):
        lines = frame(shown, width, height)
        assert len(lines) == height
        assert {line.cell_len for line in lines} == {width}
        assert len(printed(lines, width).rstrip("\n").split("\n")) <= height


def test_a_tree_too_long_keeps_what_runs_the_way_to_the_best_and_the_newest() -> None:
    more = [Node(f"exp_{i:04d}", "exp_0000", "failed", "sft", "no") for i in range(6, 60)]
    rows = plain(tree_lines(state(nodes=(*NODES, *more)), 110, 8))
    assert len(rows) == 8
    ids = [word for row in rows for word in row.split() if word.startswith("exp_")]
    assert ids == ["exp_0000", "exp_0001", "exp_0004", "exp_0005", "exp_0057", "exp_0058", "exp_0059"]
    assert "53 more" in rows[-1]


def test_the_curve_ends_at_the_steps_to_do_and_its_head_says_where_it_is() -> None:
    """The curve of the run that is training now."""
    title = frame(state(), 120, 34)[2].plain
    assert "exp_0005  loss 0.100  step 80/200  lr 1.2e-3  4 s" in title
    rows = plain(curve_plot(CURVE, LABEL + 50, 12))
    assert rows[-1].endswith("200")
    last = max(i for row in rows[:-1] for i, c in enumerate(row[LABEL:]) if c != " ")
    assert last == pytest.approx(80 / 200 * 50, abs=1)
    assert rows[10].rstrip().endswith("●"), "the lowest loss stands lowest"
    assert "●" not in "".join(plain(curve_plot(dataclasses.replace(CURVE, is_live=False), LABEL + 50, 12)))


def test_an_empty_workspace_and_a_flat_curve_are_drawn() -> None:
    rows = plain(frame(LiveState("new", (), 0, 20, 0.0), 100, 30))
    assert any("no metrics yet" in row for row in rows)
    flat = Curve("exp_0001", "loss", (1, 2), (0.0, 0.0))
    assert any("●" in row or "⠤" in row or "⣀" in row or "⠒" in row for row in plain(curve_plot(flat, 40, 8)))


def test_canvas_draws_inside_only() -> None:
    canvas = Canvas(2, 1)
    polyline(canvas, [(-5, 0), (50, 0)], "red")
    assert canvas.lines()[0].plain == "⣀⣀"
    canvas.write(2, 0, "abc", "")
    assert canvas.lines()[0].plain == "⣀a"


def test_numbers_are_spelt_as_people_write_them() -> None:
    assert [palette.short_rate(x) for x in (2e-4, 1.234e-3, 5e-2, 1.0, 0)] == ["2e-4", "1.2e-3", "5e-2", "1e0", "0"]
    assert [palette.clock(x) for x in (4.9, 65, 3725)] == ["0:04", "1:05", "1:02:05"]
    assert [palette.number(x) for x in (0.98, 12.345, math.pi * 1000)] == ["0.980", "12.3", "3.14e+03"]
