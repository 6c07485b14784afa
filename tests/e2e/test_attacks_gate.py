"""Attacks on what is sealed, through the real command line: a second look, a second opening, and words that get out.

Each is run against evo, where it fails, and against a mutant with that guard switched off, where it succeeds.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutants import Change, Mutant, make_mutant
from tracked import wait_for_mirror
from workspaces import SCORE, Answer, evo, evo_here, make_command_workspace, new, skilled

BY_NODE = Change(
    "ops/judging/heldout.py",
    'return self.runs[0].weights_hash or ""',
    "return f\"{__import__('time').time()} {self.runs[0].weights_hash}\"",
)
"""Looks are told apart by when they are asked, not by the weights that they are about."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose gate waits to be asked, with a vault."""
    folder = tmp_path_factory.mktemp("asked")
    return make_command_workspace(folder / "ws", "isolation.level=none", n=160)


def scored(workspace: Path, skill: str, words: str, *more: str) -> str:
    made = new(workspace, skilled(skill), words, "--parent", "exp_0000", *more)
    ran = evo_here(f"run {made} --json", cwd=workspace)
    assert ran.code == 0, ran.out
    return made


def looks(workspace: Path) -> int:
    return int(evo_here("status --json", cwd=workspace).data["looks"]["used"])


def test_one_look_for_each_pair_of_weights_under_whatever_id(asked: Path, tmp_path: Path) -> None:
    """§8: the same weights are never asked twice against the same reference; another id is the same weights."""
    first, twin = scored(asked, "0.41", "a failed question"), scored(asked, "0.41", "the same weights", "--seed", "5")
    assert evo_here(f"certify {first} --json", cwd=asked).code == 5
    for again in (first, twin):
        refused = evo_here(f"certify {again} --json", cwd=asked)
        assert (refused.code, "asked about" in refused.error["message"]) == (4, True)
    assert looks(asked) == 1
    forgetful = make_mutant(tmp_path / "mutant", BY_NODE)
    for used, again in ((2, first), (3, twin)):
        assert forgetful.evo("certify", again, cwd=asked).code == 5
        assert looks(asked) == used


def test_the_vault_is_opened_once(asked: Path, tmp_path: Path) -> None:
    """§5: a second `release` returns the stored number, for whomever it is asked, and evaluates nothing."""
    results = asked / ".evo" / "sealed" / "results"
    other = scored(asked, "0.2", "another one")
    first = evo_here("release exp_0000 --json", cwd=asked)
    assert first.code == 0, first.out
    opened = sorted(results.glob("vault-*"))
    for words in ("release", "release exp_0000", f"release {other}"):
        again = evo_here(f"{words} --json", cwd=asked).data
        assert (again["id"], again["vault"]) == ("exp_0000", first.data["vault"])
    assert sorted(results.glob("vault-*")) == opened
    assert len(opened) == 1
    careless = make_mutant(tmp_path / "mutant", Change("ops/judging/release.py", "if stored is not None:", "if False:"))
    assert careless.evo("release", other, cwd=asked).data["vault"]["mean"] < first.data["vault"]["mean"]
    assert len(sorted(results.glob("vault-*"))) == 2


def odd_words(lot: random.Random) -> str:
    return " ".join("".join(lot.choices("bcdfghjklmnpqrstvwxz", k=9)) for _ in range(3))


def make_gold(path: Path, n: int) -> Path:
    """Items whose id, question and answer occur nowhere else in the world."""
    lot = random.Random(20)
    rows = [{"id": odd_words(lot)[:9], "prompt": odd_words(lot), "target": odd_words(lot)} for _ in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sealed_words(workspace: Path) -> list[bytes]:
    """Ids, questions and answers of every sealed item, the canaries' too."""
    found = []
    for split in ("heldout", "vault"):
        lines = (workspace / ".evo" / "sealed" / f"{split}.jsonl").read_text().splitlines()
        found += [
            row[key].encode() for row in map(json.loads, lines) for key in ("id", "prompt", "target") if key in row
        ]
    return found


def heldout_numbers(workspace: Path, skills: tuple[float, float]) -> list[bytes]:
    """What `score.py` gives on held-out: both means, the gain and the exact p, as JSON begins to write them."""
    rows = [json.loads(line) for line in (workspace / ".evo" / "sealed" / "heldout.jsonl").read_text().splitlines()]
    ids = [row["id"] for row in rows if not row["id"].startswith("canary")]
    luck = [int(hashlib.sha256(id_.encode()).hexdigest()[:8], 16) / 2**32 for id_ in ids]
    base, child = ([float(value < skill) for value in luck] for skill in skills)
    b = sum(x > y for x, y in zip(child, base, strict=True))
    c = sum(x < y for x, y in zip(child, base, strict=True))
    tail = sum(math.comb(b + c, k) for k in range(b + 1, b + c + 1)) + math.comb(b + c, b) / 2
    numbers = [statistics.fmean(base), statistics.fmean(child), (b - c) / len(ids), tail / 2 ** (b + c)]
    texts = [f"{value:.7f}"[:7] for value in numbers]
    return [text.encode() for text in texts if len(set(text)) > 3]  # not 0.50000, which stands for many things


def spilled(workspace: Path, words: list[bytes], said: list[Answer]) -> list[str]:
    """Where any of `words` stands outside of `.evo/sealed`: files of every kind, git's objects, what commands said."""
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"],
        cwd=workspace,
        capture_output=True,
        check=True,
    ).stdout
    texts: list[tuple[str, bytes]] = [("git", objects)]
    texts += [(f"answer {n}", (answer.out + answer.err).encode()) for n, answer in enumerate(said)]
    for path in sorted(workspace.rglob("*")):
        inside = path.relative_to(workspace)
        if path.is_file() and not path.is_symlink() and inside.parts[:2] != (".evo", "sealed"):
            texts.append((str(inside), path.read_bytes()))
    return sorted({f"{name}: {word.decode()}" for name, text in texts for word in words if word in text})


LIFE = """\
show {won} | show {lost} | show exp_0000 | status | tree | compare {won} {lost} | compare exp_0000 {won} | frontier
next | diff {won} | log {won} | log {won} --eval | log | failures {lost} | path {won} | diagnose | diagnose {won}
discards | notes | brief | budget | card {won} | export {won} --to {out}/exported | gate power
verify {won} | verify {lost}
gate calibrate | doctor | fsck | backup {out}/copy.db | gc --dry-run | recover | sync | wait {won} | data status
data check data/dev.jsonl | config show | recipe list | eval {won} --scratch | ideas list | lessons | recommend
wandb status | wandb sync | discard {lost} --reason over | restore {lost} | certify {lost} | run {won} | rescore {won}
""".replace("\n", " | ")


def lived(folder: Path, mutant: Mutant | None = None) -> tuple[Path, list[Answer]]:
    """A workspace with a failed question and a commit, looked at from every side; all that was said."""
    run = evo if mutant is None else mutant.evo
    (folder / "score.py").write_text(SCORE)
    said = [
        evo("init", folder / "ws", "--template", "command", "--gold", make_gold(folder / "gold.jsonl", 173),
            "--eval-command", "python score.py", "--eval-files", folder / "score.py", "--set", "track=wandb",
            cwd=folder, HOME=str(folder)),
    ]  # fmt: skip
    workspace = folder / "ws"
    lost = new(workspace, skilled("0.41"), "hardly better", "--parent", "exp_0000")
    said += [run("run", lost, cwd=workspace, HOME=str(folder)), run("certify", lost, cwd=workspace)]
    won = new(workspace, skilled("0.93"), "far better", "--parent", "exp_0000")
    said.append(run("run", won, cwd=workspace, HOME=str(folder)))
    assert said[-1].data["state"] == "committed"
    if mutant is None:
        (folder / "out").mkdir()
        said += list(told(workspace, LIFE.format(won=won, lost=lost, out=folder / "out")))
        wait_for_mirror(workspace)
        said.append(Answer(0, (folder / "out" / "copy.db").read_bytes().decode("latin-1"), ""))
    return workspace, said


def told(workspace: Path, lines: str) -> Iterator[Answer]:
    """Each line twice, as a table and as JSON. A command that does not exist (yet) tells nothing either."""
    for line in filter(None, map(str.strip, lines.split("|"))):
        for more in ("", " --json"):
            answer = evo_here(line + more, cwd=workspace)
            assert answer.code != 1, (line, answer.out, answer.err)
            yield answer


@pytest.mark.slow
def test_nothing_of_what_is_sealed_gets_out(tmp_path: Path) -> None:
    """A3, §7: no sealed text, id or number in any view, log, worktree, tracker or git object before `release`."""
    (tmp_path / "true").mkdir()
    workspace, said = lived(tmp_path / "true")
    words = [
        *sealed_words(workspace),
        *heldout_numbers(workspace, (0.4, 0.93)),
        *heldout_numbers(workspace, (0.4, 0.41)),
    ]
    assert len(words) > 3 * 60
    assert spilled(workspace, words, said) == []
    assert list(workspace.rglob("*.wandb")) != []
    (tmp_path / "false").mkdir()
    place = 'folder = session.layout.{} / "results" / f"{{split}}-'
    leaky = make_mutant(
        tmp_path / "mutant", Change("ops/judging/heldout.py", place.format("sealed"), place.format("cache"))
    )
    spoilt, _ = lived(tmp_path / "false", leaky)
    assert any("results/heldout-" in name for name in spilled(spoilt, sealed_words(spoilt), []))
