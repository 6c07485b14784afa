"""What a training page may import of evo: `recipe.current()`, and beside it `training` and `rewards` on TRL's trainers.

Invariant: this module and `run` need the standard library only, so that a page starts at once wherever it trains.
"""

from evo.recipe.checkpoints import Mid, MidScore
from evo.recipe.run import NoParameter, Params, Run, current

__all__ = ["Mid", "MidScore", "NoParameter", "Params", "Run", "current"]
