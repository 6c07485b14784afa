"""What a held-out set can show, before anything is run: gains, items, and the odds between them (DESIGN §8).

`discordance` is the mean of d²: for binary results the share of items on which the two sides differ.
"""

from __future__ import annotations

import math

from evo.gate.statistics import LEAST_CLUSTERS
from evo.gate.tails import normal_quantile, normal_upper_tail

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
