"""Bounds for annotated types: `Annotated[float, Gt(0)]`.

They are what `annotated-types` offers, which costs 10 ms to import; pydantic reads them through its own protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Ge(NamedTuple):
    ge: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), "ge": self.ge}


class Gt(NamedTuple):
    gt: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), "gt": self.gt}


class Le(NamedTuple):
    le: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), "le": self.le}


class Lt(NamedTuple):
    lt: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), "lt": self.lt}


class MinLen(NamedTuple):
    min_length: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(source), "min_length": self.min_length}
