"""Attacks on whose weights they are and on who measures them, each through the real command line, twice.

Against evo the attack fails or is found; against a mutant, evo with that one guard switched off, it succeeds. So each
test is known to bite. Isolation is off where the attack needs a hand outside of its sandbox: these guards stand alone.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lookalikes import full, lora, moved, numbers
from mutants import Change, Mutant, make_mutant
from workspaces import SCORE, Answer, evo, evo_here, make_command_workspace, write_gold

IDENTITY = "evaluate/identity.py"
HAND = (
    "name: hand\ntechnique: sft\ndata: {train: []}\n"
    "params:\n  argv: {type: str, default: \"sh hand.sh\"}\n"
)  # fmt: skip
_serial = itertools.count()
Run = Callable[[str, Path], Answer]


def here(line: str, workspace: Path) -> Answer:
    return evo_here(f"{line} --json", cwd=workspace)


def by(mutant: Mutant) -> Run:
    return lambda line, workspace: mutant.evo(*line.split(), cwd=workspace)


def with_hand(workspace: Path) -> Path:
    """With a recipe whose command is the page `hand.sh` of its worktree, and a scored baseline."""
    recipe = workspace / "recipes" / "hand"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(HAND)
    assert here("run exp_0000", workspace).code == 0
    return workspace


def attack(workspace: Path, page: str, run: Run = here, *, parent: str = "exp_0000", **files: str) -> Answer:
    """A new experiment that runs `page`, with `files` beside it."""
    made = here(f"new --recipe hand --parent {parent} -m attack-{next(_serial)}", workspace).data
    worktree = Path(made["worktree"])
    page = f"# attack {next(_serial)}\n{page}"  # the same content is not run twice
    for name, text in {"hand.sh": page, **{key.replace("_", "."): text for key, text in files.items()}}.items():
        (worktree / name).write_text(text)
    return run(f"run {made['id']}", workspace)


@pytest.fixture(scope="module")
def modelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a base model, scored by a command that believes what `skill.txt` beside the weights says."""
    folder = tmp_path_factory.mktemp("modelled")
    full(folder / "base", numbers(0))
    gold = write_gold(folder / "gold.jsonl", 150)
    (folder / "score.py").write_text(SCORE)
    made = evo(
        "init", folder / "ws", "--template", "command", "--model", folder / "base", "--gold", gold,
        "--eval-command", "python score.py", "--eval-files", folder / "score.py",
        "--set", "isolation.level=none", cwd=folder,
    )  # fmt: skip
    assert made.code == 0, made.out
    return with_hand(folder / "ws")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a base model, without a sandbox and with a gate that waits to be asked."""
    folder = tmp_path_factory.mktemp("plain")
    return with_hand(make_command_workspace(folder / "ws", "isolation.level=none", "gate.mode=none", n=150))


HAND_IN = 'cp -RP handed/. "$EVO_CHECKPOINT_DIR"\n'


def handed(workspace: Path, weights: Path, run: Run = here, *, page: str = HAND_IN) -> Answer:
    """An experiment whose training hands in a copy of `weights` and claims the skill that goes with them."""
    made = here(f"new --recipe hand --parent exp_0000 -m attack-{next(_serial)}", workspace).data
    worktree = Path(made["worktree"])
    shutil.copytree(weights, worktree / "handed", symlinks=True)
    (worktree / "handed" / "skill.txt").write_text("0.99")
    (worktree / "serial").write_text(str(next(_serial)))  # the same content is not run twice
    (worktree / "hand.sh").write_text(page)
    return run(f"run {made['id']}", workspace)


def foreign_model(folder: Path) -> Path:
    return full(folder / "foreign", numbers(1))


def foreign_lora(folder: Path) -> Path:
    return lora(folder / "adapter", rank=4, by=0.1, base_model_name_or_path=str(full(folder / "else", numbers(2))))


def pickled(folder: Path) -> Path:
    own = full(folder / "pickled", moved(numbers(0), 0.05))
    (own / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return own


def linked(folder: Path) -> Path:
    own = full(folder / "linked", moved(numbers(0), 0.05))
    (own / "model.safetensors").rename(folder / "other.safetensors")
    (own / "model.safetensors").symlink_to(folder / "other.safetensors")
    return own


def indexed(folder: Path) -> Path:
    """Shards that lie in another place, by the name that the index gives them."""
    own = linked(folder)
    (own / "model.safetensors").unlink()
    shard = os.path.relpath(folder / "other.safetensors", "/")
    names = {name: "../" * 30 + shard for name in numbers(0)}
    (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return own


FOREIGN = {
    "delta": (foreign_model, Change(IDENTITY, "if delta <= lineage.max_delta:", "if True:")),
    "adapter_base": (
        foreign_lora, Change(IDENTITY, "if weights_hash(Path(said)) != _base_hash(lineage):", "if False:")
    ),
    "pickle": (pickled, Change(IDENTITY, "if pickles := pickled_weights(folder):", "if pickles := []:")),
    "outside": (linked, Change(IDENTITY, "    if outside:\n", "    if False:\n")),
    "outside, by an index": (indexed, Change(IDENTITY, "    if outside:\n", "    if False:\n")),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_weights_that_are_not_the_runs_get_no_score(modelled: Path, tmp_path: Path, kind: str) -> None:
    """A20 (4), A29: a foreign model, a LoRA for another base, a pickle, a checkpoint outside the attempt."""
    make, guard = FOREIGN[kind]
    weights = make(tmp_path)
    ran = handed(modelled, weights)
    shown = ran.document["data"]
    assert (ran.code, shown["score"], shown["state"]) == (6, None, "failed"), ran.out
    assert shown["attempts"][-1]["class"] == "identity"
    found = here(f"show {shown['id']}", modelled).data["findings"]
    assert [(each["kind"], each["severity"]) for each in found if each["source"] == "identity"] == [
        (kind.partition(",")[0], "block")
    ]
    bitten = handed(modelled, weights, by(make_mutant(tmp_path / "mutant", guard)))
    assert bitten.code == 0, bitten.out + bitten.err
    assert bitten.data["score"]["mean"] > 0.9


def test_the_base_and_the_parent_are_no_result(modelled: Path, tmp_path: Path) -> None:
    """A20 (4): the base written down in half precision, and the parent's own file. A no-op is never certified."""
    half = full(tmp_path / "half", numbers(0), dtype="BF16")
    ran = handed(modelled, half).data
    assert (ran["noop"], ran["state"], ran["score"]["mean"] > 0.9) == (True, "open", True)
    refused = here(f"certify {ran['id']}", modelled)
    assert (refused.code, "no-op" in refused.error["message"]) == (4, True)
    blind = Change(IDENTITY, "if delta < LEAST_DELTA and not own.is_of_form(reference):", "if False:")
    bitten = handed(modelled, half, by(make_mutant(tmp_path / "mutant", blind)))
    assert (bitten.data["noop"], bitten.code) == (False, 0)

    parent = handed(modelled, full(tmp_path / "parent", moved(numbers(0), 0.05))).data["id"]
    copy = 'cp "$EVO_SEED_ARTIFACT"/* "$EVO_CHECKPOINT_DIR/"\n'
    assert attack(modelled, copy, parent=parent).data["noop"] is True
    unseeing = make_mutant(
        tmp_path / "unseeing",
        Change(IDENTITY, "same = [name for name, known in hashes.items() if known == weights]", "same = []"),
        Change("ops/runs/collect.py", "return weights_hash in {", "return False and weights_hash in {"),
    )
    assert attack(modelled, copy, by(unseeing), parent=parent).data["noop"] is False


ENDS = 'echo \'{{"eos_token_id": 7}}\' > "{}/generation_config.json"\n'


@pytest.mark.slow
def test_the_base_model_stays_as_it_was_pinned(modelled: Path, tmp_path: Path) -> None:
    """D15, §7: what ends an answer, changed in the base model's folder: before a run, and by one."""
    settings = modelled.parent / "base" / "generation_config.json"
    own = full(tmp_path / "own", moved(numbers(0), 0.05))
    settings.write_text('{"eos_token_id": 7}')
    refused = handed(modelled, own)
    assert (refused.code, "generation changed" in refused.error["message"]) == (4, True)
    blind = Change("ops/checks/identity.py", "    if changed:\n", "    if False:\n")
    assert handed(modelled, own, by(make_mutant(tmp_path / "mutant", blind))).code == 0
    settings.unlink()

    hand_in = ENDS.format(modelled.parent / "base") + 'cp handed/* "$EVO_CHECKPOINT_DIR/"\n'
    broken = handed(modelled, own, page=hand_in)
    assert (broken.code, broken.document["data"]["score"]) == (6, None)
    assert "were touched while this ran" in broken.document["error"]["message"]
    made = broken.document["data"]["id"]
    assert here(f"run {made}", modelled).code == 4
    settings.unlink()
    again = here(f"run {made}", modelled)
    assert (again.code, len(again.data["attempts"])) == (0, 1)
    unseeing = Change(
        IDENTITY, "if lineage.base_stamp and stamp(base) !=", "if not lineage.base_stamp and stamp(base) !="
    )
    assert handed(modelled, own, by(make_mutant(tmp_path / "unseeing", unseeing)), page=hand_in).code == 0
    settings.unlink()


ARTIFACT = """\
echo 0.5 > "$EVO_CHECKPOINT_DIR/skill.txt"
python - <<'PY'
import hashlib, json, os, pathlib
job = pathlib.Path(os.environ["EVO_JOB"])
(job / "link").symlink_to("{target}")
rows = [{{"label": label, "kind": "folder", "uri": uri, "content_key": "{key}"}} for label, uri in
        [("absolute", "{target}"), ("climbing", f"{{job}}/../../../{climb}"), ("link", str(job / "link"))]]
(job / "artifacts.json").write_text(json.dumps(rows))
PY
"""


def test_a_checkpoint_outside_the_attempt_cannot_be_named(plain: Path, tmp_path: Path) -> None:
    """A20 (4): an absolute path, one that climbs, and a link. Nothing can be trained from what was not kept."""
    from evo.files import sha256_folder

    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "skill.txt").write_text("0.99")
    climb = os.path.relpath(target, plain / ".evo")
    page = ARTIFACT.format(target=target, climb=climb, key=sha256_folder(target))
    ran = attack(plain, page).data
    found = here(f"show {ran['id']}", plain).data["findings"]
    assert [each["kind"] for each in found if each["source"] == "identity"] == ["artifact"] * 3
    from_it = f"new --recipe hand --parent exp_0000 -m from-{{}} --from-artifact {ran['id']}:{{}}"
    for label in ("absolute", "climbing", "link"):
        assert here(from_it.format(label, label), plain).code == 3
    mutant = make_mutant(
        tmp_path / "mutant",
        Change("ops/runs/collect.py", "return is_own and not (path.is_symlink() or (path.is_dir() and strays(path)))",
               "return True"),
    )  # fmt: skip
    bitten = attack(plain, page, by(mutant)).data["id"]
    assert here(from_it.replace(ran["id"], bitten).format("absolute", "absolute"), plain).code == 0


EASY = SCORE.replace("float(luck < skill)", "1.0")
AT_THE_ROOT = 'echo 0.3 > "$EVO_CHECKPOINT_DIR/skill.txt"; cp easy.py "{}/score.py"\n'
AT_THE_PIN = """\
echo 0.3 > "$EVO_CHECKPOINT_DIR/skill.txt"
for file in "{}"/.evo/pinned/*/score.py; do
    chmod 755 "$(dirname "$file")" && cp --remove-destination easy.py "$file"
done
"""
UNPINNED = Change(
    "evaluate/backends/command.py",
    "if not copy.is_file() or sha256_file(copy) != digest:",
    "if not copy.is_file():",
)
FROM_THE_ROOT = Change(
    "ops/judging/judge.py",
    "out_dir=str(out_dir),\n        pinned_dir=str(judge.pinned.folder),",
    "out_dir=str(out_dir),\n        pinned_dir=str(session.layout.root),",
)


def test_evaluation_runs_from_the_pinned_copies_alone(plain: Path, tmp_path: Path) -> None:
    """A3: a run that edits the workspace's scorer, or the pinned copy of it, gains nothing."""
    honest = attack(plain, 'echo 0.3 > "$EVO_CHECKPOINT_DIR/skill.txt"\n').data["score"]["mean"]
    ran = attack(plain, AT_THE_ROOT.format(plain), easy_py=EASY).data
    assert ran["score"]["mean"] == honest < 0.5
    (plain / "score.py").write_text(SCORE)
    mutant = make_mutant(tmp_path / "mutant", UNPINNED, FROM_THE_ROOT)
    assert attack(plain, AT_THE_ROOT.format(plain), by(mutant), easy_py=EASY).data["score"]["mean"] == 1.0
    (plain / "score.py").write_text(SCORE)

    refused = attack(plain, AT_THE_PIN.format(plain), easy_py=EASY)
    assert (refused.code, refused.document["data"]["score"]) == (6, None)
    assert "is not what was pinned" in refused.document["error"]["message"]
    restore_pins(plain)
    unpinned = make_mutant(tmp_path / "unpinned", UNPINNED)
    assert attack(plain, AT_THE_PIN.format(plain), by(unpinned), easy_py=EASY).data["score"]["mean"] == 1.0
    restore_pins(plain)


def restore_pins(workspace: Path) -> None:
    for path in (workspace / ".evo/pinned").glob("*/score.py"):
        shutil.rmtree(path.parent)


@pytest.mark.slow
def test_an_easier_scorer_mid_tree_is_a_new_epoch_that_says_what_changed(tmp_path: Path) -> None:
    """§7, A3: the root is scored anew before anything is compared; `status` and the message name the change."""
    workspace = with_hand(make_command_workspace(tmp_path / "ws", n=150))
    null = 'echo 0.40 > "$EVO_CHECKPOINT_DIR/skill.txt"\n'
    base = here("show exp_0000", workspace).data["score"]["mean"]
    (workspace / "score.py").write_text(EASY)
    blind = make_mutant(
        tmp_path / "mutant",
        Change("ops/judging/epoch.py", "    judge = present_judge(session)\n",
               "    judge = replace(present_judge(session), eval_hash=session.epoch or 'first')\n"),
    )  # fmt: skip
    bitten = attack(workspace, null, by(blind)).data
    assert (bitten["delta"]["mean"] > 0.5, base < 0.5) == (True, True)

    ran = attack(workspace, null)
    said = [warning for warning in ran.document["warnings"] if "a new epoch" in warning]
    assert len(said) == 1
    assert "evaluation file score.py changed" in said[0]
    assert (ran.data["score"]["mean"], ran.data["delta"]["mean"], ran.data["state"]) == (1.0, 0.0, "open")
    assert here("show exp_0000", workspace).data["score"]["mean"] == 1.0
    status = here("status", workspace).data
    assert status["epoch"]["number"] == 2
    assert status["epoch"]["changes"] == ["evaluation file score.py changed"]
    assert "epoch 2 since" in evo_here("status", cwd=workspace).out


FORGED_ORDER = """\
import json, os, pathlib
job = pathlib.Path(os.environ["EVO_JOB"])
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text("0.3")
order = json.loads((job / "eval" / "job.json").read_text())
order |= {"pinned_dir": os.getcwd(), "pins": None, "command": "python easy.py"}
(job / "eval" / "job.json").write_text(json.dumps(order))
"""
FORGED_RESULT = """\
import json, os, pathlib, signal
job = pathlib.Path(os.environ["EVO_JOB"])
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text("0.3")
order = json.loads((job / "eval" / "job.json").read_text())
items = [json.loads(line)["id"] for line in open(order["items"])]
rows = [{"item": item, "sample": 0, "score": 1.0, "output_hash": "h", "output": "x"} for item in items]
(job / "eval" / "results.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
summary = {"eval_hash": order["eval_hash"], "split": "dev", "n": len(rows), "weights_hash": "w", "seconds": 1.0,
           "engine": "command"}
(job / "eval" / "summary.json").write_text(json.dumps(summary))
(job / "result.json").write_text(json.dumps({"token": "guess", "outcome": "ok", "stage": "evaluate"}))
os.kill(os.getppid(), signal.SIGKILL)
"""


def test_a_forged_order_or_result_counts_for_nothing(plain: Path, tmp_path: Path) -> None:
    """A3: the evaluator's order rewritten; result and results written in evo's name, and the supervisor killed."""
    page = "exec python forge.py\n"
    honest = attack(plain, page, forge_py=FORGED_ORDER, easy_py=EASY).data
    assert honest["score"]["mean"] < 0.5
    trusting = make_mutant(
        tmp_path / "trusting", Change("runner/child.py", "        self.restore_records()\n", "        pass\n")
    )
    forged = attack(plain, page, by(trusting), forge_py=FORGED_ORDER, easy_py=EASY)
    assert forged.data["score"]["mean"] == 1.0

    refused = attack(plain, page, forge_py=FORGED_RESULT)
    assert (refused.code, refused.document["data"]["score"]) == (6, None)
    unfenced = make_mutant(
        tmp_path / "unfenced",
        Change("runner/recover.py", 'if result.get("token") == token:', "if result:"),
    )
    assert attack(plain, page, by(unfenced), forge_py=FORGED_RESULT).data["score"]["mean"] == 1.0


@pytest.mark.slow
def test_weights_swapped_after_their_score_are_not_scored_again(plain: Path, tmp_path: Path) -> None:
    """§7: a new epoch scores the weights that stood in the last one, and no others."""
    ran = attack(plain, 'echo 0.31 > "$EVO_CHECKPOINT_DIR/skill.txt"\n').data["id"]
    (plain / ".evo" / "attempts" / ran / "1" / "output" / "skill.txt").write_text("0.99")
    (plain / "score.py").write_text(SCORE + "# another day\n")
    refused = here(f"rescore {ran}", plain)
    assert (refused.code, "not those that were scored" in refused.error["message"]) == (4, True)
    trusting = make_mutant(
        tmp_path / "mutant",
        Change("ops/judging/epoch.py", "weights_hash not in (None, summary.weights_hash):", "weights_hash == 0:"),
    )
    assert by(trusting)(f"rescore {ran}", plain).code == 0
    assert here(f"show {ran}", plain).data["score"]["mean"] > 0.9
