"""What to believe before the tree has spoken, the strongest first (row A22).

Invariant: an order and its reasons, nothing that a measurement could not overturn.
"""

from __future__ import annotations

from evo.lightdata import dataclass


@dataclass(frozen=True)
class Prior:
    """`here`: how evo keeps it."""

    name: str
    why: str
    here: str


PRIORS = (
    Prior(
        "a reward that can be trusted",
        "whatever can be won by other means than the task will be; a better reward beats a better technique",
        "rewards: {scorer: workspace} rewards what evaluation measures",
    ),
    Prior(
        "held-out items that were never trained on",
        "a number from items that leaked, directly or through generated data, is no number",
        "evo data check; sealed splits; a certificate for every commit",
    ),
    Prior(
        "fresh, on-policy data",
        "what the present model says itself teaches it more than what another one said once",
        "grpo, rloo and rft draw from the weights of each round",
    ),
    Prior(
        "LoRA at about ten times the learning rate of full weights, rank 32",
        "it keeps up with full weights in RL and small SFT, and lags behind on large SFT data",
        "evo recipe show NAME gives the rate that fits the model",
    ),
)
