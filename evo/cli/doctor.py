"""evo doctor."""

from __future__ import annotations

from pathlib import Path

from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.ops.doctor import examine

app = leaf()


@app.command()
def doctor() -> Reply:
    """evo doctor

    Environment, extras, isolation, GPUs, git, disk and the workspace here; each failing row names its fix.
    """
    return Reply(examine(Path.cwd()))
