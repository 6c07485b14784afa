"""Bounds for annotated types: `Annotated[float, Gt(0)]`.

They are what `annotated-types` offers, which costs 10 ms to import; pydantic reads them through its own protocol.
No two bounds are equal: `typing` keeps one `Annotated[float, x]` for all equal x, and 0 would be as good as Ge(0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Bound:
    name: str

    def __init__(self, value: float) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), self.name: self.value}


class Ge(_Bound):
    name = "ge"


class Gt(_Bound):
    name = "gt"


class Le(_Bound):
    name = "le"


class Lt(_Bound):
    name = "lt"


class MinLen(_Bound):
    name = "min_length"
