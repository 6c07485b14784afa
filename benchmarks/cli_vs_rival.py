"""What a command costs, in evo and in evo-hq-cli 0.8.0, on trees of 10, 1,000 and 10,000 experiments.

    python benchmarks/cli_vs_rival.py [--work DIR] [--sizes 10 1000 10000] [--repeats 7]

The rival is installed from PyPI into an environment of its own; evo is the one that runs this script. Both get a tree
of the same size and mix of standings, telemetry and dashboards off, and every command is a fresh process. Times are
medians. "run over the bare command" is the time of `run` less the time of the same command by itself.
The rival's `init` leaves a supervisor behind, which is ended by its own id, and at the end whatever still runs out of
the rival's environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from evo.domain.experiment import experiment_id
from evo.store import db as database
from evo.store import meta

RIVAL = "evo-hq-cli==0.8.0"
GOALS = {
    "cold status": {10: 0.6, 10_000: 0.25},
    "new with worktree": {10: 0.8, 1_000: 0.5, 10_000: 0.2},
    "run over the bare command": {10: 1.0, 1_000: 0.6, 10_000: 0.15},
    "new from 8 processes, per second": {10: 2.0, 1_000: 5.0, 10_000: 10.0},
}
PROCESSES, EACH, CROWDS = 8, 4, 3
SCORE = """#!/bin/sh
# --model DIR --items ITEMS.jsonl --out RESULTS.jsonl: every item is right
sed -E 's/.*"id": *"([^"]*)".*/{"id": "\\1", "score": 1.0}/' "$4" > "$6"
"""


@dataclass(frozen=True)
class Tool:
    """One of the two: how to call it where its tree lies, and what a parent and a hypothesis are called."""

    argv: list[str]
    tree: Path
    env: dict[str, str]
    new: list[str]
    bare: Callable[[], None]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *words], cwd=self.tree, env=self.env, capture_output=True, text=True, check=False
        )

    def branch(self, hypothesis: str) -> subprocess.CompletedProcess[str]:
        """A new experiment whose content is like no other's."""
        return self.call(*(word.format(content=hypothesis) for word in self.new), "-m", hypothesis)

    def run(self, name: str) -> None:
        done = self.call("run", name)
        if done.returncode != 0:
            raise SystemExit(f"{self.argv[0]} run {name}: {done.stdout} {done.stderr}")


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def quiet_environment(home: Path) -> dict[str, str]:
    who = {f"GIT_{role}_{part}": "bench" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EVO_", "PYTHON"))}
    off = {"EVO_TELEMETRY": "0", "DO_NOT_TRACK": "1", "EVO_SKIP_VERSION_CHECK": "1"}
    return kept | who | off | {"HOME": str(home)}


def standings(n: int) -> list[tuple[int, str]]:
    """(parent, standing) of experiments 1 … n − 1: a bush, four in ten committed."""
    chance = random.Random(7)
    fertile, rows = [0], []
    for number in range(1, n):
        parent = chance.choice(fertile[-400:])
        standing = chance.choices(["committed", "open", "discarded", "failed"], [4, 3, 2, 1])[0]
        if standing == "committed":
            fertile.append(number)
        rows.append((parent, standing))
    return rows


def install_rival(work: Path) -> list[str]:
    env = work / "rival"
    binary = env / "bin" / "evo"
    if not binary.exists():
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        subprocess.run([env / "bin" / "pip", "install", "--quiet", RIVAL], check=True)
    return [str(binary)]


def grow_rival(argv: list[str], work: Path, n: int) -> Tool:
    tree = work / f"rival-{n}"
    home = work / "home"
    home.mkdir(exist_ok=True)
    env = quiet_environment(home)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    (tree / ".gitignore").write_text(".evo/\n")
    (tree / "agent.py").write_text("x = 1\n")
    (tree / "bench.sh").write_text("""printf %s '{"score": 1.0}'\n""")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tree, env=env, check=True)
    bare = ["sh", "-c", "sh bench.sh"]
    tool = Tool(argv, tree, env, ["new", "--parent", "exp_0000"], lambda: _run(bare, tree, env))
    words = ["--target", "agent.py", "--benchmark", "sh bench.sh", "--metric", "max", "--host", "generic"]
    tool.call("init", *words, "--per-exp-timeout", "60")
    end_supervisor(tree / ".evo" / "supervisor.pid")
    tool.call("new", "--parent", "root", "-m", "base")
    tool.call("run", "exp_0000")
    fill_rival(tree / ".evo" / "run_0000", n)
    return tool


def _run(command: list[str], cwd: Path, env: dict[str, str]) -> None:
    subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, check=True)


def end_supervisor(file: Path) -> None:
    for _ in range(50):
        if file.exists() and file.read_text().strip():
            break
        time.sleep(0.1)
    else:
        return
    pid = int(file.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def fill_rival(run: Path, n: int) -> None:
    """Write the nodes that its own commands would have left, in its own files."""
    graph = json.loads((run / "graph.json").read_text())
    nodes, base = graph["nodes"], graph["nodes"]["exp_0000"]
    chance = random.Random(7)
    for number, (parent, standing) in enumerate(standings(n), 1):
        name, score = experiment_id(number), round(chance.random(), 4)
        result = {"score": score, "tasks": {f"t{k}": round(chance.random(), 3) for k in range(5)}}
        nodes[name] = {
            **base,
            "id": name,
            "parent": experiment_id(parent),
            "children": [],
            "status": {"open": "evaluated"}.get(standing, standing),
            "score": None if standing == "failed" else score,
            "hypothesis": f"hypothesis {number}: another rate on attention only",
            "benchmark_result": result,
            "current_attempt": 1,
        }
        nodes[experiment_id(parent)]["children"].append(name)
        if standing == "committed":
            folder = run / "experiments" / name / "attempts" / "001"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "outcome.json").write_text(json.dumps({"benchmark": {"result": result}, "score": score}))
    graph["next_id"] = n
    (run / "graph.json").write_text(json.dumps(graph, indent=2, sort_keys=True))


def grow_evo(work: Path, n: int) -> Tool:
    tree = work / f"evo-{n}"
    shutil.rmtree(tree, ignore_errors=True)
    gold = work / "gold.jsonl"
    gold.write_text(
        "".join(json.dumps({"id": f"q{i}", "prompt": f"number {i}", "target": str(i)}) + "\n" for i in range(64))
    )
    (work / "score.sh").write_text(SCORE)
    home = work / "home"
    home.mkdir(exist_ok=True)
    env = quiet_environment(home)
    argv = [str(Path(sys.executable).with_name("evo"))]
    init = ["init", str(tree), "--template", "command", "--gold", str(gold), "--eval-command", "sh score.sh"]
    subprocess.run([*argv, *init, "--eval-files", "score.sh"], cwd=work, env=env, capture_output=True, check=True)
    train = ["sh", "-c", "true"]
    items, out = tree / "data" / "dev.jsonl", work / "bare.jsonl"
    score = ["sh", str(tree / "score.sh"), "--model", ".", "--items", str(items), "--out", str(out)]

    def bare() -> None:
        _run(train, tree, env)
        _run(score, tree, env)

    tool = Tool(
        argv,
        tree,
        env,
        ["new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=sh -c true {content}"],
        bare,
    )
    tool.call("run", "exp_0000")
    fill_evo(tree / ".evo" / "evo.db", n)
    return tool


def fill_evo(path: Path, n: int) -> None:
    """Rows as real runs would have left them: an experiment and its ended attempt each."""
    chance = random.Random(7)
    moment = "2026-01-01T00:00:00.000Z"
    with database.opened(path) as db:
        epoch = meta.get(db, "epoch")
        with database.transaction(db):
            for number, (parent, standing) in enumerate(standings(n), 1):
                name, scored = experiment_id(number), standing != "failed"
                score = round(chance.random(), 4)
                row = {
                    "number": number,
                    "id": name,
                    "parent": experiment_id(parent),
                    "state": standing,
                    "former_state": "open" if standing == "discarded" else None,
                    "hypothesis": f"hypothesis {number}: another rate on attention only",
                    "recipe": "command",
                    "technique": "command",
                    "params": "{}",
                    "seed": 42,
                    "fingerprint": name,
                    "branch": f"evo/{name}",
                    "created_at": moment,
                    "updated_at": moment,
                }
                if scored:
                    row |= {"epoch": epoch, "score_mean": score, "score_se": 0.02, "score_n": 32, "seeds": 1}
                    row |= {"gain": score - 1.0, "gain_var": 4e-4, "primary_attempt": 1}
                insert(db, "experiment", row)
                outcome = "ok" if scored else "failed"
                row = {
                    "experiment": name,
                    "n": 1,
                    "seed": 42,
                    "token": f"t{number}",
                    "state": "ended",
                    "outcome": outcome,
                }
                row |= {"executor": "local", "controller": "", "weights_hash": f"w{number}", "created_at": moment}
                insert(db, "attempt", row | {"ended_at": moment})


def insert(db: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def measure(tools: list[Tool], repeats: int) -> list[dict[str, float]]:
    """For each tool one figure a row: seconds, and for the last row new experiments a second.

    The tools take turns at every repetition, so that whatever else the machine does falls on both.
    """
    for tool in tools:
        tool.call("status")
    status = in_turn(tools, repeats, lambda tool, _: tool.call("status"))
    branch = in_turn(tools, repeats, lambda tool, k: tool.branch(f"one {k}"))
    names = [[name_of(tool.branch(f"run {k}")) for k in range(repeats)] for tool in tools]
    bare = in_turn(tools, repeats, lambda tool, _: tool.bare())
    run = in_turn(tools, repeats, lambda tool, k: tool.run(names[tools.index(tool)][k]))
    crowds = [list(column) for column in zip(*([crowd(tool) for tool in tools] for _ in range(CROWDS)), strict=True)]
    return [
        {
            "cold status": status[i],
            "new with worktree": branch[i],
            "run over the bare command": run[i] - bare[i],
            "new from 8 processes, per second": statistics.median(rate for rate, _ in crowds[i]),
            "lost": sum(lost for _, lost in crowds[i]),
        }
        for i in range(len(tools))
    ]


def in_turn(tools: list[Tool], repeats: int, action: Callable[[Tool, int], object]) -> list[float]:
    """Median seconds of `action` for each tool."""
    times: list[list[float]] = [[] for _ in tools]
    for k in range(repeats):
        for i, tool in enumerate(tools):
            times[i].append(timed(lambda tool=tool, k=k: action(tool, k)))
    return [statistics.median(column) for column in times]


def name_of(said: subprocess.CompletedProcess[str]) -> str:
    word = next((word for word in said.stdout.replace('"', " ").split() if word.startswith("exp_")), None)
    if word is None:
        raise SystemExit(f"no experiment was made: {said.stdout} {said.stderr}")
    return word.strip(",")


def crowd(tool: Tool) -> tuple[float, int]:
    """New experiments a second from eight processes at once, and how many of them failed."""

    def worker(w: int) -> int:
        return sum(tool.branch(f"w{w} k{k}").returncode != 0 for k in range(EACH))

    start = time.perf_counter()
    with ThreadPoolExecutor(PROCESSES) as pool:
        lost = sum(pool.map(worker, range(PROCESSES)))
    return (PROCESSES * EACH - lost) / (time.perf_counter() - start), lost


def report(size: int, rival: dict[str, float], evo: dict[str, float]) -> bool:
    is_met = True
    for row, goals in GOALS.items():
        per_second = row.endswith("per second")
        ratio = evo[row] / rival[row]
        goal = goals.get(size)
        fits = goal is None or (ratio >= goal if per_second else ratio <= goal)
        is_met &= fits
        unit, scale = ("/s", 1.0) if per_second else ("ms", 1000.0)
        wanted = "" if goal is None else f"{'≥' if per_second else '≤'} {goal}  {'met' if fits else 'MISSED'}"
        print(
            f"{size:>6}  {row:<34} {rival[row] * scale:9.1f} {evo[row] * scale:9.1f} {unit:<3} {ratio:7.2f}  {wanted}"
        )
    print(f"{size:>6}  lost of {PROCESSES * EACH * CROWDS:<26} {rival['lost']:>9} {evo['lost']:>9}")
    return is_met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="evo-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    rival = install_rival(work)
    print(f"# {RIVAL} and evo, medians of {args.repeats}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'nodes':>6}  {'':<34} {'rival':>9} {'evo':>9} {'':<3} {'ratio':>7}")
    is_met = True
    try:
        for size in args.sizes:
            figures = measure([grow_rival(rival, work, size), grow_evo(work, size)], args.repeats)
            is_met &= report(size, figures[0], figures[1])
    finally:
        end_all_of(work / "rival")
    return 0 if is_met else 1


def end_all_of(environment: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith(f"{environment}/"):
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
