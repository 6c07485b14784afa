"""What the processes of one launch have to agree on."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def agreed(value: T) -> T:
    """Rank 0's `value`, on every rank; also a barrier. The value itself in a launch of one process."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
