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


def rank_and_world() -> tuple[int, int]:
    """This process's number, from 0, and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def gathered(values: list[T]) -> list[T]:
    """The lists of all ranks, one after the other, on every rank."""
    _, world = rank_and_world()
    if world == 1:
        return values
    boxes: list[list[T]] = [[] for _ in range(world)]
    dist.all_gather_object(boxes, values)
    return [value for box in boxes for value in box]
