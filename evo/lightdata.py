"""`dataclass(frozen=True)` without generated code: the same class for a seventh of the import time.

The standard decorator writes and compiles six functions for each class, 0.35 ms; a command that imports two hundred of
them would pay 70 ms before it did anything (docs/decisions/0004-light-dataclasses.md). Here all classes share six
functions. `fields`, `replace`, `asdict` and pydantic see an ordinary dataclass; a type checker sees the standard one.
Invariant: fields cannot be set or deleted after construction; equality and hash are those of the tuple of fields.
For classes that are made by the ten thousand, the standard decorator is the quicker one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    Class = TypeVar("Class", bound=type)

    def dataclass(*, frozen: bool):
        """A decorator; `frozen` must be true, so that the words at the class say what holds."""
        if not frozen:
            raise TypeError("light dataclasses are frozen")
        return _lighten

    def _lighten(cls: Class) -> Class:
        dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
        for name, function in _SHARED.items():
            if name not in cls.__dict__:
                setattr(cls, name, function)
        cls.__dataclass_params__ = _PARAMS
        cls.__light_fields__ = {spec.name: spec for spec in dataclasses.fields(cls)}
        return cls

    def _init(self: Any, *args: Any, **kwargs: Any) -> None:
        known = self.__light_fields__
        if len(args) > len(known):
            raise TypeError(f"{type(self).__name__} takes {len(known)} values, not {len(args)}")
        values = dict(zip(known, args, strict=False))
        for name, value in kwargs.items():
            if name not in known or name in values:
                problem = "twice" if name in values else "which is no field of it"
                raise TypeError(f"{type(self).__name__} was given {name!r} {problem}")
            values[name] = value
        if len(values) < len(known):
            for name, spec in known.items():
                if name not in values:
                    values[name] = _default(self, spec)
        self.__dict__.update((name, values[name]) for name in known)
        after = getattr(self, "__post_init__", None)
        if after is not None:
            after()

    def _default(self: Any, spec: dataclasses.Field) -> Any:
        if spec.default is not dataclasses.MISSING:
            return spec.default
        if spec.default_factory is not dataclasses.MISSING:
            return spec.default_factory()
        raise TypeError(f"{type(self).__name__} needs {spec.name!r}")

    def _compared(self: Any) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name, spec in self.__light_fields__.items() if spec.compare)

    def _eq(self: Any, other: Any) -> bool:
        return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self: Any) -> int:
        return hash(_compared(self))

    def _repr(self: Any) -> str:
        parts = (f"{name}={self.__dict__[name]!r}" for name, spec in self.__light_fields__.items() if spec.repr)
        return f"{type(self).__qualname__}({', '.join(parts)})"

    def _setattr(_self: Any, name: str, _value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _delattr(_self: Any, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    _SHARED = {
        "__init__": _init,
        "__eq__": _eq,
        "__hash__": _hash,
        "__repr__": _repr,
        "__setattr__": _setattr,
        "__delattr__": _delattr,
    }

    @dataclasses.dataclass(frozen=True)
    class _Frozen:
        """What `dataclasses` says of a frozen class."""

    _PARAMS = _Frozen.__dataclass_params__
