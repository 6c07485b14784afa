"""What a held-out set can show, before anything is run: gains, items, and the odds between them (DESIGN §8).

`discordance` is the mean of d²: for binary results the share of items on which the two sides differ.
"""

from __future__ import annotations

import math

from evo.gate.statistics import LEAST_CLUSTERS
from evo.gate.tails import normal_quantile, normal_upper_tail

ASSUMED = 0.2
"""Discordance before any two experiments were compared."""
FEW = 30
"""Under this many held-out items only gains beyond .19 are certified with 80 % power, at 20 % discordance."""


def obstacles(n_heldout: int, clusters: int | None) -> list[str]:
    """What keeps a held-out set from certifying, one sentence each; `clusters` is None where no item names one."""
    if n_heldout == 0:
        return ["no certificate is possible: nothing is held out"]
    found = []
    if clusters is not None and clusters < LEAST_CLUSTERS:
        found.append(f"no certificate is possible with {clusters} held-out clusters: the test needs {LEAST_CLUSTERS}")
    if n_heldout < FEW:
        found.append(f"a certificate is rare with {n_heldout} held-out items: bring {FEW} or more")
    return found


def smallest_gain(n: int, *, discordance: float, sigma_run: float, alpha: float, power: float = 0.8) -> float:
    """The gain that is certified with probability `power`, one run on each side."""
    z2 = (normal_quantile(1.0 - alpha) + normal_quantile(power)) ** 2
    return math.sqrt(z2 * (discordance / n + 2.0 * sigma_run**2) / (1.0 + z2 / n))


def required_items(
    gain: float, *, discordance: float, sigma_run: float, alpha: float, power: float = 0.8
) -> int | None:
    """Items needed to certify `gain` with probability `power`; None where run noise alone hides it."""
    z2 = (normal_quantile(1.0 - alpha) + normal_quantile(power)) ** 2
    room = gain * gain / z2 - 2.0 * sigma_run**2
    return math.ceil((discordance - gain * gain) / room) if room > 0 else None


def power_of(gain: float, n: int, *, discordance: float, sigma_run: float, alpha: float) -> float:
    """Probability that a true `gain` is certified."""
    se = math.sqrt(max(discordance - gain * gain, 1.0 / n) / n + 2.0 * sigma_run**2)
    return normal_upper_tail(normal_quantile(1.0 - alpha) - gain / se)


def asking_gain(
    n_dev: int, *, discordance: float, sigma_run: float, prior: tuple[float, float], needed: float, of_root: bool = True
) -> float:
    """The dev gain over the last committed node at which the gate asks about a first, lone child of it.

    `prior`: μ and τ of an edge; `needed`: the ζ to reach; `of_root`: the reference is the root, whose own half of the
    noise counts too. Siblings and deeper nodes share evidence, so for them it is only near this.
    """
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        if _evidence(middle, n_dev, discordance, sigma_run=sigma_run, prior=prior, of_root=of_root) < needed:
            low = middle
        else:
            high = middle
    return high


def _evidence(
    gain: float, n: int, discordance: float, *, sigma_run: float, prior: tuple[float, float], of_root: bool
) -> float:
    """ζ of a child that was seen to gain `gain`: the posterior of one edge, a jump's where the step is one."""
    mu, tau = prior
    half = max(discordance - gain * gain, 1.0 / n) / (2.0 * n)
    noise = half + sigma_run**2
    step = (gain - mu) ** 2
    spread = step if step > 9.0 * (tau * tau + noise) else tau * tau
    mean = (spread * gain + noise * mu) / (spread + noise)
    return mean / math.sqrt(spread * noise / (spread + noise) + (half if of_root else 0.0))
