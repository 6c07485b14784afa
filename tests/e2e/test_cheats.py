"""A training run that lies about itself: the recorded score is evo's own each time, and a no-op is never committed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from proclist import processes_of
from workspaces import SCORE, evo, make_command_workspace, new, skilled

TRUE_SKILL = 0.3
HONEST = f"""\
import json, os, pathlib, sys, time
job = pathlib.Path(os.environ["EVO_JOB"])
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text("{TRUE_SKILL}")
"""
FORGED = """\
dev = [json.loads(line)["id"] for line in open("data/dev.jsonl")]
rows = [{"item": item, "sample": 0, "score": 1.0, "output_hash": "h", "output": "x"} for item in dev]
summary = {
    "eval_hash": json.load(open(job / "eval" / "job.json"))["eval_hash"], "split": "dev", "n": len(dev),
    "weights_hash": "w", "seconds": 0.1, "engine": "command",
}
def forge():
    (job / "eval").mkdir(exist_ok=True)
    (job / "eval" / "results.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
    (job / "eval" / "summary.json").write_text(json.dumps(summary))
"""
CHEATS = {
    "says it is perfect": """
print(json.dumps({"score": 1.0}))
pathlib.Path(os.environ["EVO_RESULT_PATH"]).write_text('{"score": 1.0}')
(job / "result.json").write_text(json.dumps({"token": "guess", "outcome": "ok", "stage": "evaluate", "score": 1.0}))
""",
    "writes what the evaluator writes": FORGED
    + """
forge()
(job / "trained.json").write_text('{"token": "guess", "train_seconds": 1}')
order = json.loads((job / "eval" / "job.json").read_text())
order |= {"command": "python cheat.py", "pinned_dir": os.getcwd(), "low": 1.0}
(job / "eval" / "job.json").write_text(json.dumps(order))
""",
    "edits the scorer in its worktree": """
pathlib.Path("score.py").write_text("raise SystemExit('a scorer of the experiment ran')")
""",
    "leaves a child that writes late": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "late.py", str(job)], {})
    os._exit(0)
os.wait()
while not pathlib.Path("late.ran").exists():
    time.sleep(0.01)
""",
}
LATE = f"""\
import json, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
job = pathlib.Path(sys.argv[1])
{FORGED}
for _ in range(300):
    forge()
    (job / "result.json").write_text(json.dumps({{"token": "guess", "outcome": "ok", "stage": "evaluate"}}))
    pathlib.Path("late.ran").touch()
    time.sleep(0.02)
"""


def true_score(workspace: Path, skill: float) -> float:
    """What score.py measures, worked out here from the dev items alone."""
    ids = [json.loads(line)["id"] for line in (workspace / "data" / "dev.jsonl").read_text().splitlines()]
    luck = [int(hashlib.sha256(id_.encode()).hexdigest()[:8], 16) / 2**32 for id_ in ids]
    return sum(value < skill for value in luck) / len(luck)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored baseline; the scorer is committed, so every worktree has a copy of it. No sandbox: what holds without."""
    root = make_command_workspace(tmp_path_factory.mktemp("cheats") / "ws", "run.grace-s=0.2", "isolation.level=none")
    assert evo("run", "exp_0000", cwd=root).code == 0
    return root


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_run_does_not_score_itself(workspace: Path, cheat: str) -> None:
    """A3; §12: an experiment editing its own scorer, a hand-typed score."""
    made = evo("new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=python cheat.py", "-m", cheat,
               cwd=workspace)  # fmt: skip
    worktree = Path(made.data["worktree"])
    assert (worktree / "score.py").read_text() == SCORE
    (worktree / "cheat.py").write_text(HONEST + CHEATS[cheat])
    (worktree / "late.py").write_text(LATE)
    ran = evo("run", made.data["id"], cwd=workspace)
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["score"]["mean"] == pytest.approx(true_score(workspace, TRUE_SKILL))
    assert ran.data["state"] == "open"
    assert processes_of(workspace, made.data["id"]) == []


TAMPERS = {
    "score.py": ("*/score.py", SCORE.replace("float(luck < skill)", "1.0")),
    "the dev items": ("dev-*.jsonl", json.dumps({"id": "easy", "prompt": "easy", "target": "easy"}) + "\n"),
}


@pytest.mark.parametrize("what", TAMPERS)
def test_what_is_pinned_cannot_be_swapped(workspace: Path, what: str) -> None:
    """A3: a run that reaches the pinned copies (no isolation) gets no score from them, and costs no second training."""
    pattern, text = TAMPERS[what]
    tamper = f"""
for path in pathlib.Path({str(workspace / ".evo/pinned")!r}).glob({pattern!r}):
    path.parent.chmod(0o755)
    path.unlink()
    path.write_text({text!r})
"""
    made = evo("new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=python swap.py", "-m", what,
               cwd=workspace).data  # fmt: skip
    (Path(made["worktree"]) / "swap.py").write_text(HONEST + tamper)
    ran = evo("run", made["id"], cwd=workspace)
    assert (ran.code, ran.document["data"]["score"]) == (6, None)
    assert "is not what was pinned" in ran.document["error"]["message"]
    for path in (workspace / ".evo/pinned").glob(pattern):
        shutil.rmtree(path.parent) if path.name == "score.py" else path.unlink()
    again = evo("run", made["id"], cwd=workspace)
    assert again.code == 0, again.out
    assert again.data["score"]["mean"] == pytest.approx(true_score(workspace, TRUE_SKILL))
    assert len(again.data["attempts"]) == 1


def test_what_is_laid_beside_the_pinned_files_is_not_used(workspace: Path) -> None:
    """A3: a module that would shadow one that score.py imports."""
    plant = f"""
for path in pathlib.Path({str(workspace / ".evo/pinned")!r}).glob("*/score.py"):
    path.parent.chmod(0o755)
    (path.parent / "hashlib.py").write_text("raise SystemExit('a planted module ran')")
"""
    made = evo("new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=python plant.py", "-m", "plants",
               cwd=workspace).data  # fmt: skip
    (Path(made["worktree"]) / "plant.py").write_text(HONEST + plant)
    ran = evo("run", made["id"], cwd=workspace)
    assert ran.code == 0, ran.out
    assert ran.data["score"]["mean"] == pytest.approx(true_score(workspace, TRUE_SKILL))
    (planted,) = (workspace / ".evo/pinned").glob("*/hashlib.py")
    planted.unlink()


ZERO_ADAPTER = """
out = pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"])
(out / "skill.txt").write_text("0.99")
(out / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1}))
head = {"x.lora_A.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "x.lora_B.weight": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}
text = json.dumps(head).encode()
body = b"\\0\\0\\x80?" + bytes(4)
(out / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
"""


def test_an_adapter_that_adds_zero_is_never_committed(workspace: Path) -> None:
    """§12: a no-op committed. Other bytes than the base's, and a score that says "far better" all the same."""
    made = evo("new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=python zero.py", "-m", "zero",
               cwd=workspace).data  # fmt: skip
    (Path(made["worktree"]) / "zero.py").write_text(HONEST + ZERO_ADAPTER)
    ran = evo("run", made["id"], cwd=workspace).data
    assert (ran["noop"], ran["state"], ran["score"]["mean"] > 0.9) == (True, "open", True)
    assert evo("certify", made["id"], cwd=workspace).code == 4


def test_ten_copies_of_the_parent_are_committed_zero_times(tmp_path: Path) -> None:
    """§12: a tie or a no-op committed. The parent beats the base by far, so its copies look as good on dev.

    Other names and seeds; two more in the mode that asks after every run.
    """
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    parent = new(workspace, skilled(0.9), "a real gain", "--parent", "exp_0000")
    original = evo("run", parent, cwd=workspace).data
    assert original["state"] == "committed"
    line = """argv=sh -c 'cp "$EVO_SEED_ARTIFACT"/* "$EVO_CHECKPOINT_DIR/"'"""
    for seed in range(12):
        if seed == 10:
            assert evo("config", "set", "gate.mode", "every-run", cwd=workspace).code == 0
        copy = new(workspace, line, f"idea {seed}", "--parent", parent, "--seed", str(seed))
        ran = evo("run", copy, cwd=workspace).data
        assert (ran["noop"], ran["state"], ran["certificate"]) == (True, "open", None)
        assert ran["score"] == original["score"]
    refused = evo("certify", copy, cwd=workspace)
    assert refused.code == 4
    assert "no-op" in refused.error["message"]
    status = evo("status", cwd=workspace).data
    assert (status["committed"], status["looks"]["used"], status["states"]["committed"]) == (parent, 1, 2)
