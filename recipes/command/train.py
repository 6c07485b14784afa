"""Become the command that `argv` names, in the worktree, with the environment of the run.

`evo run` starts that command by itself and does not come here; this page is for a start by hand and for a copy of the
recipe that wants to do something first.
"""

from __future__ import annotations

import os
import shlex

from evo import recipe


def main() -> None:
    argv = shlex.split(recipe.current().params.argv)
    if not argv:
        raise SystemExit('argv is empty: --set argv="python train.py"')
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
