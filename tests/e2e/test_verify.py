"""The verifier through the command line: what it refuses, that it runs by itself, and that it bites."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mutants import Change, Mutant, make_mutant
from workspaces import Answer, evo, evo_here, make_command_workspace, new, skilled


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing is asked by itself, so that tests come between score and question."""
    root = make_command_workspace(tmp_path_factory.mktemp("verify") / "ws", "gate.mode=none", n=150)
    assert evo_here("run exp_0000 --json", cwd=root).code == 0
    return root


def scored(workspace: Path, skill: float, hypothesis: str, *words: str) -> str:
    """An open experiment with a score."""
    made = new(workspace, skilled(skill), hypothesis, "--parent", "exp_0000", *words)
    ran = evo_here(f"run {made} --json", cwd=workspace)
    assert (ran.code, ran.data["state"]) == (0, "open"), ran.out
    return made


def write(workspace: Path, *statements: str) -> None:
    """What somebody does who has the database and no scruples."""
    with closing(sqlite3.connect(workspace / ".evo/evo.db", isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def verified(workspace: Path, experiment: str, *words: str) -> Answer:
    return evo_here(" ".join(["verify", experiment, *words, "--json"]), cwd=workspace)


def check(answer: Answer, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = answer.document["data"]["checks"]
    return next(each for each in found if each["name"] == name)


def kinds(answer: Answer, severity: str = "block") -> set[str]:
    return {each["kind"] for each in answer.document["data"]["findings"] if each["severity"] == severity}


def test_an_honest_experiment_is_ok_and_the_draw_is_on_record(workspace: Path) -> None:
    """A35: two random dev items, every check answered; the same seed draws the same items."""
    node = scored(workspace, 0.5, "a skill of one half gains ten points")
    drawn = []
    for _ in range(2):
        answer = verified(workspace, node, "--seed", "7")
        assert (answer.code, answer.data["ok"], kinds(answer)) == (0, True, set())
        assert check(answer, "items again")["found"] == "2 of 2 as stored (seed 7)"
        event = next(e for e in evo_here("log --json", cwd=workspace).data["events"][::-1] if e["kind"] == "verified")
        assert (event["experiment"], event["data"]["seed"], event["data"]["ok"]) == (node, 7, True)
        drawn.append(event["data"]["items"])
    assert len(drawn[0]) == 2
    assert drawn[0] == drawn[1]
    assert check(verified(workspace, node, "--items", "9"), "items again")["found"].startswith("9 of 9 as stored")
    assert verified(workspace, "exp_0000").data["ok"]


FORGED = "score = 1.0 WHERE attempt = (SELECT max(id) FROM attempt)"
TAMPERS: dict[str, tuple[list[str], str, str]] = {
    "results better than the weights": (
        [f"UPDATE item_result SET {FORGED}", "UPDATE experiment SET score_mean = 1 WHERE id = '{id}'"],
        "items again",
        "inflated",
    ),
    "a score typed in by hand": (["UPDATE experiment SET score_mean = 0.9 WHERE id = '{id}'"], "score", "score"),
    "a gain typed in by hand": (["UPDATE experiment SET gain = 0.5 WHERE id = '{id}'"], "score", "gain"),
    "an evaluation of a part": (
        ["DELETE FROM item_result WHERE score = 0 AND attempt = (SELECT max(id) FROM attempt)"],
        "score",
        "subset",
    ),
}


@pytest.mark.parametrize("what", TAMPERS)
def test_results_that_the_weights_do_not_give_are_refused(workspace: Path, what: str) -> None:
    """A35; §12: a hand-typed score. The weights get every item wrong."""
    statements, name, kind = TAMPERS[what]
    node = scored(workspace, -1.0 - list(TAMPERS).index(what), f"wrong everywhere: {what}")
    write(workspace, *[statement.format(id=node) for statement in statements])
    answer = verified(workspace, node)
    assert (answer.code, answer.document["data"]["ok"], check(answer, name)["ok"]) == (5, False, False)
    assert kind in kinds(answer)
    assert f"{node} is not ok" in answer.error["message"]


def test_swapped_weights_and_lost_artifacts_are_refused(workspace: Path) -> None:
    """A35, A29: weights still hash to what was scored; every declared artifact exists and is what it was."""
    node = scored(workspace, 0.3, "its weights are swapped afterwards")
    weights = workspace / ".evo/attempts" / node / "1/output/skill.txt"
    before = weights.read_text()
    weights.chmod(0o644)
    weights.write_text("0.99")
    answer = verified(workspace, node)
    assert answer.code == 5
    assert not check(answer, "weights")["ok"]
    weights.write_text(before)
    assert verified(workspace, node).data["ok"]  # what was put right is no finding any more

    trace = workspace / ".evo/attempts" / node / "1/traces/notes.txt"
    trace.write_text("declared")
    row = "(experiment, attempt, label, kind, uri, content_key, created_by, created_at)"
    key = "2c0bd9f3e0d0c6eea0b3d4bba9d8f0d9c2f7d6c6b3d8d2f5b6b3f7b4f0a1c2d3"
    write(
        workspace,
        f"INSERT INTO artifact {row} SELECT '{node}', id, 'notes', 'file', '{trace}', '{key}', '{node}/1', 'now'"
        f" FROM attempt WHERE experiment = '{node}'",
    )
    changed = verified(workspace, node)
    assert (changed.code, kinds(changed)) == (5, {"artifact"})
    trace.unlink()
    assert "is gone" in check(verified(workspace, node), "artifacts")["found"]


def test_a_quick_evaluation_is_an_alarm_and_is_looked_at_more_closely(workspace: Path) -> None:
    """A35: under a fifth of the cohort's median. The alarm warns; the items that are evaluated again decide."""
    for skill in (0.41, 0.42, 0.43):
        scored(workspace, skill, f"one of the cohort, with a skill of {skill}")
    node = scored(workspace, 0.45, "answered from a cache")
    assert check(verified(workspace, node), "time")["ok"]
    write(workspace, f"UPDATE attempt SET eval_seconds = 40 WHERE experiment <> '{node}'")
    answer = verified(workspace, node)
    assert (answer.code, answer.data["ok"], kinds(answer, "warn")) == (0, True, {"quick"})
    assert "32 of 32 as stored" in check(answer, "items again")["found"]
    write(workspace, "UPDATE attempt SET eval_seconds = 0.1")
    assert kinds(verified(workspace, node), "warn") == set()


def test_a_prediction_stands_beside_the_outcome(workspace: Path) -> None:
    """A35: hypothesis against outcome, as facts; nobody is refused for having been wrong."""
    right = scored(workspace, 0.46, "a little more skill: +4 points")
    wrong = scored(workspace, 0.1, "much more skill: +30 points")
    assert kinds(verified(workspace, right), "note") == set()
    answer = verified(workspace, wrong)
    assert (answer.code, kinds(answer, "note")) == (0, {"prediction"})
    assert check(answer, "hypothesis")["found"].startswith("predicted +0.300, dev shows -0.")


def test_verify_says_what_it_cannot_do(workspace: Path) -> None:
    pending = new(workspace, skilled(0.2), "not run yet", "--parent", "exp_0000")
    assert verified(workspace, pending).code == 4
    assert verified(workspace, "exp_0999").code == 3
    assert verified(workspace, pending, "--items", "0").code == 2


def forge_and_certify(workspace: Path, call: Callable[..., Answer]) -> Answer:
    """Dev results that the weights do not give, so strong that the question would be asked; then the question."""
    made = call("new", "--recipe", "command", "--parent", "exp_0000", "--set", skilled(0.0), "-m", "forged afterwards",
                cwd=workspace).data["id"]  # fmt: skip
    assert call("run", made, cwd=workspace).code == 0
    write(
        workspace,
        f"UPDATE item_result SET {FORGED}",
        f"UPDATE experiment SET score_mean = 1, gain = 0.6 WHERE id = '{made}'",
    )
    assert call("config", "set", "gate.mode", "certify", cwd=workspace).code == 0
    return call("certify", made, cwd=workspace)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Mutant:
    """Nothing is verified before the question."""
    return make_mutant(
        tmp_path_factory.mktemp("blind"),
        Change(
            "ops/checks/verify.py",
            "    examine(session, judge, identifier, items=ITEMS, seed=secrets.randbits(31), on_tick=on_tick)\n",
            "",
        ),
    )


def test_nothing_is_asked_that_the_verifier_refuses_and_no_look_is_spent(tmp_path: Path, blind: Mutant) -> None:
    """A35: the post check runs before a commit. With it switched off the same forgery reaches held-out."""
    for name, call, code, looks in (("sealed", evo, 4, 0), ("open", blind.evo, 5, 1)):
        workspace = make_command_workspace(tmp_path / name, "gate.mode=none", n=120)
        answer = forge_and_certify(workspace, call)
        assert (answer.code, evo("status", cwd=workspace).data["looks"]["used"]) == (code, looks), answer.out
        if code == 4:
            assert "verify found" in answer.error["message"]
            shown = evo_here("show 1 --json", cwd=workspace).data["findings"]
            assert "inflated" in {each["kind"] for each in shown}


def test_the_certificate_is_recomputed_and_one_bit_leaves(tmp_path: Path) -> None:
    """A35, §7: verify answers ok or not ok. Other settings afterwards tell nothing; a turned answer is found out."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    node = new(workspace, skilled(0.95), "far better than the base", "--parent", "exp_0000")
    ran = evo("run", node, cwd=workspace)
    assert ran.data["state"] == "committed"
    order = [e["kind"] for e in evo_here("log --json", cwd=workspace).data["events"]]
    assert order.index("verified") < order.index("look") < order.index("certificate")

    first = verified(workspace, node, "--seed", "1")
    assert "follows from what is stored" in check(first, "certificate")["found"]
    for key, value in (("gate.alpha", "1e-12"), ("gate.min-gain", "0.9"), ("gate.sigma-run", "0.4")):
        evo_here(f"config set {key} {value}", cwd=workspace)
        assert check(verified(workspace, node, "--seed", "1"), "certificate") == check(first, "certificate")

    sealed = [json.loads(line) for line in (workspace / ".evo/sealed/heldout.jsonl").read_text().splitlines()]
    assert not [item["id"] for item in sealed if f'"{item["id"]}"' in first.out]

    write(
        workspace,
        "DROP TRIGGER certificate_stands",
        "UPDATE certificate SET passed = 0",
    )
    turned = verified(workspace, node, "--seed", "1")
    assert (turned.code, kinds(turned)) == (5, {"certificate"})
    assert check(turned, "certificate")["found"] == "the certificate does not follow from the results that are stored"
    write(workspace, "UPDATE certificate SET passed = 1")
    assert verified(workspace, node).code == 0
    for folder in (workspace / ".evo/sealed/results").glob("heldout-*"):
        (folder / "eval/results.jsonl").write_text("nothing\n")
    damaged = verified(workspace, node)
    assert (damaged.code, kinds(damaged)) == (5, {"certificate"})
