"""The command line that starts a page, in one process or several.

Invariant: two launches on one machine never meet at the same port.
"""

from __future__ import annotations

import sys
from typing import Literal

Launch = Literal["python", "accelerate", "torchrun"]


def page_argv(page: str, launch: Launch, *, processes: int) -> list[str]:
    """`processes`: how many, of `accelerate` and `torchrun`; `python` is one."""
    if launch == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, "--nproc-per-node", str(processes), page]
    if launch == "accelerate":
        accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        # its launcher of several processes is the one called multi_gpu; page and trainer decide what they compute on
        several = ["--multi_gpu", "--main_process_port", "0"] if processes > 1 else []
        return [*accelerate, *several, "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", page]
    return [sys.executable, page]
