"""What isolation costs: the same training, in turn with `isolation.level` none and auto.

    python benchmarks/isolation.py [--seconds 10] [--pairs 3] [--starts 20]

Two ratios of auto to none: the training of about `--seconds` of computing and of file traffic, as the supervisor
measures it, and a whole `evo run` of a command that does nothing. Medians over the pairs of one machine, in one go;
each prints its spread, for a ratio that is smaller than the spread says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LEVELS = ("none", "auto")
SCORE = """\
import json, sys
rows = [json.loads(line) for line in open(sys.argv[sys.argv.index("--items") + 1])]
with open(sys.argv[sys.argv.index("--out") + 1], "w") as out:
    out.writelines(json.dumps({"id": row["id"], "score": len(row["id"]) % 2}) + "\\n" for row in rows)
"""
WORK = """\
import hashlib, os, sys
out = os.environ["EVO_CHECKPOINT_DIR"]
block = os.urandom(1 << 20)
for step in range(int(sys.argv[1])):
    hashlib.sha256(block).digest()
    if step % 16 == 0:
        with open(f"{out}/part-{step % 64}", "wb") as file:
            file.write(block)
        open(f"{out}/part-{step % 64}", "rb").read()
"""


def evo(*words: str, cwd: Path, level: str = "none") -> dict[str, object]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("EVO_")}
    argv = [sys.executable, "-m", "evo", *words, "--json"]
    done = subprocess.run(argv, cwd=cwd, env=env | {"EVO_ISOLATION_LEVEL": level}, capture_output=True, check=False)
    answer = json.loads(done.stdout)
    assert answer["ok"], answer
    found: dict[str, object] = answer["data"]
    return found


def run(root: Path, argv: str, number: int, level: str) -> tuple[float, float, str]:
    """Seconds of the whole command, seconds of the training, and the level that was reached."""
    words = ("new", "--recipe", "command", "--set", f"argv={argv}", "-m", f"{number} {level}", "--parent", "exp_0000")
    made = str(evo(*words, cwd=root)["id"])
    began = time.perf_counter()
    evo("run", made, "--rerun", cwd=root, level=level)
    whole = time.perf_counter() - began
    result = json.loads((root / ".evo/attempts" / made / "1/result.json").read_text())
    return whole, float(result["train_seconds"]), str(result["isolation"])


def compare(root: Path, argv: str, *, pairs: int, part: int, what: str) -> None:
    seconds: dict[str, list[float]] = {level: [] for level in LEVELS}
    reached = ""
    for number in range(pairs):
        for level in LEVELS if number % 2 else reversed(LEVELS):
            found = run(root, argv, number, level)
            seconds[level].append(found[part])  # type: ignore[arg-type]
            reached = found[2] if level == "auto" else reached
    bare, held = (statistics.median(seconds[level]) for level in LEVELS)
    spread = (max(seconds["none"]) - min(seconds["none"])) / bare
    print(f"{what}: none {bare:.3f} s, {reached} {held:.3f} s, ratio {held / bare:.4f}, {1000 * (held - bare):+.1f} ms"
          f" (spread of none {100 * spread:.1f} %, {pairs} pairs)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = [json.dumps({"id": f"q{n}", "prompt": f"question {n} of many", "target": str(n)}) for n in range(150)]
        (home / "gold.jsonl").write_text("\n".join(rows) + "\n")
        (home / "score.py").write_text(SCORE)
        (home / "work.py").write_text(WORK)
        words = ["--template", "command", "--gold", "gold.jsonl", "--eval-command", "python score.py", "--eval-files"]
        sets = [f"isolation.read={home / 'work.py'}", "gate.mode=none"]
        evo("init", "w", *words, "score.py", *(word for each in sets for word in ("--set", each)), cwd=home)
        root = home / "w"
        evo("run", "exp_0000", cwd=root)
        for level in LEVELS:  # the trial of the rungs, once per boot and workspace
            run(root, "true", -1, level)
        compare(root, "true", pairs=options.starts, part=0, what="evo run of nothing")
        _, tenth, _ = run(root, f"python {home / 'work.py'} 200", 0, "none")
        steps = int(200 * options.seconds / tenth)
        compare(root, f"python {home / 'work.py'} {steps}", pairs=options.pairs, part=1, what="training")


if __name__ == "__main__":
    main()
