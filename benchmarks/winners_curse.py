"""How far the best score is from the truth, and what takes that off: the estimates that `evo` could show, simulated.

    python benchmarks/winners_curse.py [--repeats 300]

Searches as in `benchmarks/search.py` (tree-ucb, no gate), and of each the node that would be called the best, the one
of highest posterior mean. Columns: estimate less true gain of these weights, mean and root mean square over searches.
`raw` is the measured gain; `shrunken` the posterior mean; `halves` the measured gain less `evo.search.winner.optimism`
of the 16 best, which is what evo shows as "corrected"; `bootstrap` the same with whole bootstrap samples of the items
and all nodes.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from dataclasses import replace

import search

from evo.search.ranking import best_node
from evo.search.winner import CONTENDERS, PAIRS, optimism

CASES = (
    ("small", 40, 200),
    ("null", 40, 200),
    ("jumps", 30, 200),
    ("small", 10, 100),
    ("null", 10, 100),
    ("jumps", 10, 100),
    ("small", 40, 1000),
)
ESTIMATES = ("raw", "shrunken", "halves", "bootstrap")


def errors(world: str, runs: int, items: int, seed: int) -> dict[str, float]:
    """Estimate -> its error on the best node of one search."""
    search.ITEMS = items
    one = search.Search(replace(search.LANDS[world], runs=runs), "tree-ucb", gate="none", seed=seed)
    dev = {one.session.tree.ids[0]: one.simulation.root}
    run = one.simulation.run

    def keep(identifier: str, parent: str) -> list[float]:
        dev[identifier] = run(identifier, parent)
        return dev[identifier]

    one.simulation.run = keep  # type: ignore[method-assign]
    one.outcome()
    tree, posterior = one.session.tree, one.session.posterior
    rows = [[a - b for a, b in zip(dev[name], one.simulation.root, strict=True)] for name in tree.ids[1:]]
    rows.sort(key=sum, reverse=True)
    best = best_node(tree, posterior)
    name = tree.ids[best]
    truth = one.simulation.true[name] + one.simulation._luck[name]
    raw = tree.gain[best] or 0.0
    found = {
        "raw": raw,
        "shrunken": posterior.mean[best],
        "halves": raw - optimism(rows[:CONTENDERS]),
        "bootstrap": raw - bootstrapped(rows, items, random.Random(seed)),
    }
    return {estimate: value - truth for estimate, value in found.items()}


def bootstrapped(rows: list[list[float]], n: int, rng: random.Random) -> float:
    """Mean surplus of the winner of a bootstrap sample of the items over its gain on all of them."""
    whole = [0.0, *(sum(row) / n for row in rows)]
    surplus = 0.0
    for _ in range(2 * PAIRS):
        drawn = rng.choices(range(n), k=n)
        means = [0.0, *(sum(map(row.__getitem__, drawn)) / n for row in rows)]
        winner = max(range(len(means)), key=means.__getitem__)
        surplus += means[winner] - whole[winner]
    return surplus / (2 * PAIRS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    print(f"{'world':<7}{'runs':>5}{'items':>6}" + "".join(f"{name:>20}" for name in ESTIMATES))
    for world, runs, items in CASES:
        found = [errors(world, runs, items, seed) for seed in range(options.repeats)]
        cells = []
        for name in ESTIMATES:
            values = [one[name] for one in found]
            root = math.sqrt(statistics.fmean(value * value for value in values))
            cells.append(f"{f'{statistics.fmean(values):+.4f} ({root:.4f})':>20}")
        print(f"{world:<7}{runs:>5}{items:>6}{''.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
