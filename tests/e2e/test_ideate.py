"""Ideas through the command line: proposed, kept, taken, scored against their outcomes; lessons that outlive a
workspace.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import SCORE, evo, make_command_workspace, new, skilled, write_gold

from evo import assets
from evo.domain.idea import Idea
from evo.ops.ideas.facts import facts_of
from evo.ops.ideas.ideate import due, ideate
from evo.session import open_session
from evo.store import ideas as store
from evo.store import lessons

OWN = """\
name: {name}
technique: {name}
init_from: parent
params:
  argv: {{type: str, default: "sh -c 'echo 0.6 > $EVO_CHECKPOINT_DIR/skill.txt'", tune: false}}
  rate: {{type: float, default: 0.1, min: 0.001, max: 1}}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored baseline, one experiment that gains, one that loses by an idea that promised a gain."""
    root = make_command_workspace(tmp_path_factory.mktemp("ideas") / "ws", n=400)
    for name in ("tuned", "other"):
        (root / "recipes" / name).mkdir(parents=True)
        (root / "recipes" / name / "recipe.yaml").write_text(OWN.format(name=name))
    assert evo("run", "exp_0000", cwd=root).code == 0
    gains = new(root, skilled(0.7), "more skill")
    assert evo("run", gains, cwd=root).code == 0
    return root


def recorded(workspace: Path, idea: Idea) -> int:
    with open_session(workspace) as session:
        return store.add(session.db, [idea])[0].id


def test_ideas_are_new_legal_kept_once_and_appended_as_lines(workspace: Path) -> None:
    """A34: the fields of a line, one append a call, no idea twice, nothing that the tree has."""
    first = evo("ideate", "--brief", "literature", cwd=workspace).data
    assert {idea["recipe"] for idea in first["ideas"]} == {"tuned", "other"}
    again = evo("ideate", "--brief", "literature", cwd=workspace).data
    assert [idea["id"] for idea in again["ideas"]] == [idea["id"] for idea in first["ideas"]]
    path = Path(first["path"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [idea["id"] for idea in first["ideas"]]
    asked = (
        *("generated_at", "brief", "based_on_experiments", "title", "hypothesis", "technique", "data_source"),
        *("est_cost", "expected_score_uplift", "rationale", "differentiation_from_existing", "references_consulted"),
        "confidence_signals",
    )
    assert all(name in line for line in lines for name in asked)
    for idea in first["ideas"]:
        assert idea["references"] == []
        assert "no paper is named" in idea["rationale"]
        assert idea["low"] < idea["gain"] < idea["high"]


def test_an_idea_is_taken_once_and_a_dropped_one_stays_away(workspace: Path) -> None:
    listed = evo("ideate", "--brief", "literature", cwd=workspace).data["ideas"]
    taken, dropped = (next(idea["id"] for idea in listed if idea["recipe"] == name) for name in ("tuned", "other"))
    made = evo("ideas", "take", str(taken), "--parent", "exp_0001", cwd=workspace).data
    assert (made["created"], made["parent"]) == (True, "exp_0001")
    again = evo("ideas", "take", str(taken), cwd=workspace).data
    assert (again["id"], again["created"]) == (made["id"], False)
    shown = evo("show", made["id"], cwd=workspace).data
    assert shown["recipe"]["technique"] == "tuned"
    assert evo("ideas", "drop", str(dropped), "--reason", "not now", cwd=workspace).data["state"] == "dropped"
    assert evo("ideas", "take", str(dropped), cwd=workspace).code == 4
    assert evo("ideas", "drop", str(taken), cwd=workspace).code == 4
    left = evo("ideate", "--brief", "literature", cwd=workspace).data["ideas"]
    assert not {taken, dropped} & {idea["id"] for idea in left}
    states = {idea["id"]: idea["state"] for idea in evo("ideas", "list", "--state", "all", cwd=workspace).data["ideas"]}
    assert (states[taken], states[dropped]) == ("taken", "dropped")
    assert evo("ideas", "show", "999", cwd=workspace).code == 3
    assert evo("ideas", "list", "--state", "opne", cwd=workspace).code == 2


def test_outcomes_calibrate_and_refute(workspace: Path) -> None:
    """A promise of a gain whose experiment clearly loses is refuted; one that holds is covered."""
    argv = skilled(0.2).removeprefix("argv=")
    bad = Idea("worse", "frontier_extrapolation", "command", "it gains", "exp_0000", "command", {"argv": argv}, 0.05)
    bad_id = recorded(workspace, Idea(**{**vars(bad), "low": 0.0, "high": 0.1}))
    good = Idea(**{**vars(bad), "title": "better", "patch": {"argv": skilled(0.71).removeprefix("argv=")}})
    good_id = recorded(workspace, Idea(**{**vars(good), "gain": 0.3, "low": 0.1, "high": 0.5}))
    for id in (bad_id, good_id):
        name = evo("ideas", "take", str(id), cwd=workspace).data["id"]
        assert evo("run", name, cwd=workspace).code == 0
    assert evo("ideas", "show", str(bad_id), cwd=workspace).data["state"] == "refuted"  # as soon as the score is in
    found = evo("ideas", "calibration", cwd=workspace).data
    part = next(part for part in found["briefs"] if part["brief"] == "frontier_extrapolation")
    assert (part["n"], part["refuted"], part["coverage"]) == (2, 1, 0.5)
    outcomes = {outcome["id"]: outcome for outcome in found["outcomes"]}
    assert outcomes[bad_id]["state"] == "refuted"
    assert outcomes[good_id]["covered"]
    assert outcomes[good_id]["state"] == "taken"
    assert evo("ideas", "show", str(bad_id), cwd=workspace).data["reason"]


def test_words_are_set_against_the_tree_and_the_knowledge_base(workspace: Path) -> None:
    done = evo("ideas", "check", "more skill", cwd=workspace).data
    assert done["tree"][0]["id"] == "exp_0001"
    assert done["novelty"] < 0.3
    assert "probably done" in done["verdict"]
    fresh = evo("ideas", "check", "clip the ratio higher against entropy collapse", cwd=workspace).data
    assert fresh["novelty"] > 0.8
    assert fresh["knowledge"][0]["status"] == "verified"
    assert evo("ideas", "check", " ", cwd=workspace).code == 2


def test_a_node_stores_technique_and_reward_shape_and_recommend_asks_for_the_reward_first(workspace: Path) -> None:
    """A1: reward before technique; the recipe of a node says both."""
    pairs = evo("recommend", "--shape", "pairs", cwd=workspace).data
    assert [each["technique"] for each in pairs["techniques"]] == ["dpo", "kto", "orpo"]
    assert evo("recommend", "--shape", "pair", cwd=workspace).code == 2
    (workspace / "data" / "preferences.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    assert evo("recommend", cwd=workspace).data["shapes"] == ["pairs"]
    (workspace / "data" / "preferences.jsonl").unlink()
    with open_session(workspace, readonly=True) as session:
        facts = facts_of(session)
    assert facts.nodes["exp_0001"].technique == "command"
    assert facts.recipes["command"].reward_shape == "any"


def test_a_brief_that_was_asked_is_not_due_again(workspace: Path) -> None:
    """A4: once before the first experiment; the history is kept with the tree."""
    with open_session(workspace) as session:
        ideate(session, "literature", 1)
        assert due(session) is None


def test_where_a_brief_has_nothing_new_the_next_is_asked(workspace: Path) -> None:
    first = evo("ideate", cwd=workspace).data
    for idea in first["ideas"]:
        evo("ideas", "drop", str(idea["id"]), "--reason", "not now", cwd=workspace)
    assert not evo("ideate", "--brief", first["brief"], cwd=workspace).data["ideas"]
    second = evo("ideate", cwd=workspace).data
    assert second["ideas"]
    assert second["brief"] != first["brief"]


def test_lessons_come_back_in_another_workspace_of_the_same_kind_with_their_origin(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and derived lines, near ones first; a new workspace recalls those of earlier ones at init."""
    monkeypatch.setenv("EVO_LESSONS", str(tmp_path / "lessons.db"))
    assert evo("note", "exp_0001", "--insight", "skill is all it takes", cwd=workspace).code == 0
    here = evo("lessons", "exp_0001", cwd=workspace).data
    own = next(lesson for lesson in here["lessons"] if lesson["relation"] == "own")
    assert (own["text"], own["is_derived"]) == ("skill is all it takes", False)
    other = make_command_workspace(tmp_path / "later")
    foreign = make_command_workspace(tmp_path / "foreign", score=SCORE + "# of another task\n")
    told = [lesson["relation"] for lesson in evo("lessons", cwd=foreign).data["lessons"]]
    assert "earlier workspace" not in told, "that both are measured by a command makes them no kind"
    found = evo("lessons", cwd=other).data["lessons"]
    recalled = next(lesson for lesson in found if lesson["text"] == "skill is all it takes")
    assert recalled["relation"] == "earlier workspace"
    with open_session(workspace, readonly=True) as session:
        learnt = facts_of(session).nodes["exp_0001"].updated_at
    assert recalled["origin"] == f"ws, {learnt[:10]}"
    assert evo("lessons", cwd=workspace).code == 0
    with lessons.opened() as db:
        dates = dict(db.execute("SELECT experiment, at FROM lesson WHERE name = 'ws'"))
    assert dates["exp_0001"] == learnt, "shared anew, and learnt when it was learnt"
    monkeypatch.setenv("EVO_LESSONS", "none")
    apart = make_command_workspace(tmp_path / "apart")
    assert evo("lessons", cwd=apart).data["lessons"] == []


def test_a_store_of_lessons_that_cannot_be_opened_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "lessons.db"
    broken.write_text("this is no database, and long enough to be seen as none" * 50)
    monkeypatch.setenv("EVO_LESSONS", str(broken))
    root = make_command_workspace(tmp_path / "ws")
    assert evo("lessons", cwd=root).data["lessons"] == []


def test_the_brief_holds_lessons_of_the_line_and_of_what_was_given_up(workspace: Path) -> None:
    best = evo("brief", cwd=workspace).data["best"]["id"]
    lost = new(workspace, skilled(0.1), "less skill", "--parent", best)
    assert evo("discard", lost, "--reason", "less is less", "--class", "hypothesis", cwd=workspace).code == 0
    lines = evo("brief", cwd=workspace).data["lessons"]
    assert lines[0].startswith(f"{best} (")
    assert f"{lost} (discarded, command): less is less" in lines
    near = evo("lessons", best, cwd=workspace).data["lessons"]
    told = next(lesson for lesson in near if lesson["experiment"] == lost)
    assert told["relation"] == "discarded sibling"
    assert told["text"].endswith("discarded: less is less")


def test_an_idea_in_own_settings_is_linked_by_new(workspace: Path) -> None:
    id = recorded(workspace, Idea("by hand", "control", "command", "h", commands=["evo brief"]))
    words = ("--recipe", "command", "--set", skilled(0.5), "-m", "in my own way")
    made = evo("new", *words, "--idea", str(id), cwd=workspace).data["id"]
    shown = evo("ideas", "show", str(id), cwd=workspace).data
    assert (shown["state"], shown["experiment"]) == ("taken", made)
    assert evo("new", *words, "--idea", str(id), cwd=workspace).data["created"] is False
    others = ("--recipe", "command", "--set", skilled(0.5), "-m", "another")
    assert evo("new", *others, "--idea", str(id), cwd=workspace).code == 4
    assert evo("new", *others, "--idea", "999", cwd=workspace).code == 3


def test_what_smoke_runs_were_refused_for_is_answered(tmp_path: Path) -> None:
    """A5, A34: three trials without memory are three related failures, though none of them is an attempt."""
    root = make_command_workspace(tmp_path / "small", n=60)
    folder = root / "recipes" / "sft"
    folder.mkdir(parents=True)
    size = "batch_size: {type: int, default: 8, min: 1, max: 512}"
    (folder / "recipe.yaml").write_text(f"name: sft\ntechnique: sft\ninit_from: parent\nparams:\n  {size}\n")
    (folder / "train.py").write_text("raise MemoryError('out of memory')\n")
    for batch in (64, 32, 16):
        words = ("--recipe", "sft", "--set", f"batch_size={batch}", "-m", f"{batch} rows at a time")
        made = evo("new", *words, cwd=root).data["id"]
        assert evo("run", made, cwd=root).error["code"] == "smoke"
    found = evo("ideate", cwd=root).data
    assert (found["brief"], found["why"]) == ("failure_analysis", "3 failures of one kind")
    assert found["ideas"][0]["title"].startswith("3 × out_of_memory")
    assert found["ideas"][0]["patch"].get("batch_size", 8) == 8
    assert evo("lessons", "exp_0003", cwd=root).data["lessons"][0]["text"].endswith("failed (out_of_memory)")


def test_lessons_come_back_by_technique_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another task and model; a workspace that trains none has no technique."""
    monkeypatch.setenv("EVO_LESSONS", str(tmp_path / "lessons.db"))
    with lessons.opened(create=True) as db:
        for technique in ("sft", "pretrain"):
            lesson = lessons.Lesson(
                "/far", technique, "far", technique, "t5", "hf:rubric", f"{technique} helps", True, "2026"
            )
            lessons.keep(db, [lesson])
    model = assets.folder("workspace_template") / "addition" / "model"
    rows = write_gold(tmp_path / "train.jsonl", 40, start=1000)
    words = ("--template", "command", "--gold", write_gold(tmp_path / "gold.jsonl", 40), "--train", rows)
    words = (*words, "--eval-command", "python score.py", "--eval-files", tmp_path / "score.py")
    (tmp_path / "score.py").write_text(SCORE)
    assert evo("init", tmp_path / "plain", *words, cwd=tmp_path).code == 0
    assert evo("lessons", cwd=tmp_path / "plain").data["lessons"] == []
    assert evo("init", tmp_path / "trains", "--model", model, *words, cwd=tmp_path).code == 0
    found = evo("lessons", cwd=tmp_path / "trains").data["lessons"]
    assert [(one["text"], one["origin"]) for one in found] == [("sft helps", "far, 2026")]
