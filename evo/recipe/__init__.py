"""What a training page may import of evo: `recipe.current()`, and beside it `training` and `rewards` for TRL's trainers.

Invariant: this module and `run` need the standard library only, so that a page starts at once wherever it trains.
"""

from evo.recipe.run import NoParameter, Params, Run, current

__all__ = ["NoParameter", "Params", "Run", "current"]
