"""`dataclass(frozen=True)` without generated code, and without importing `dataclasses`.

The standard decorator writes and compiles six functions for each class, 0.35 ms, and its module imports `inspect`,
10 ms; a command that imports two hundred classes would pay 80 ms before it did anything
(docs/decisions/0004-light-dataclasses.md). Here all classes share six functions. Whoever asks a class for its
`__dataclass_fields__` (`dataclasses.asdict`, pydantic) is given the standard ones, made at that moment. A type checker
sees the standard library alone.
Invariant: fields cannot be set or deleted after construction; equality and hash are those of the tuple of fields.
For classes that are made by the ten thousand, a NamedTuple is the quicker one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import is_dataclass as is_dataclass
    from dataclasses import replace as replace
else:

    class _Missing:
        """The default of a field that has none."""

    class Field:
        def __init__(self, name, default=_Missing, default_factory=_Missing, compare=True, repr=True):
            self.name, self.default, self.default_factory = name, default, default_factory
            self.compare, self.repr = compare, repr

    def field(*, default=_Missing, default_factory=_Missing, compare=True, repr=True):
        return Field("", default, default_factory, compare, repr)

    def fields(value):
        """The fields of a light dataclass, or of an instance of one."""
        return tuple(value.__light_fields__.values())

    def is_dataclass(value):
        return hasattr(value, "__light_fields__")

    def replace(value, /, **changes):
        """A copy with some fields changed."""
        return type(value)(**{**value.__dict__, **changes})

    def dataclass(*, frozen: bool):
        """A decorator; `frozen` must be true, so that the words at the class say what holds."""
        if not frozen:
            raise TypeError("light dataclasses are frozen")
        return _lighten

    def _lighten(cls):
        known = {}
        for name, hint in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
            if not str(hint).startswith(("ClassVar", "typing.ClassVar")):
                known[name] = _field_of(cls, name)
        cls.__light_fields__ = known
        cls.__dataclass_fields__ = _StandardFields()
        cls.__match_args__ = tuple(known)
        for name, function in _SHARED.items():
            if name not in cls.__dict__:
                setattr(cls, name, function)
        return cls

    def _field_of(cls, name):
        value = cls.__dict__.get(name, _Missing)
        if not isinstance(value, Field):
            return Field(name, value)
        if value.default is _Missing:
            delattr(cls, name)
        else:
            setattr(cls, name, value.default)
        value.name = name
        return value

    class _StandardFields:
        """`__dataclass_fields__`, built when somebody asks for it and kept."""

        def __get__(self, instance, cls):
            import dataclasses

            built = {}
            for name, spec in cls.__light_fields__.items():
                standard = dataclasses.field(compare=spec.compare, repr=spec.repr)
                for part in ("default", "default_factory"):
                    if getattr(spec, part) is not _Missing:
                        setattr(standard, part, getattr(spec, part))
                standard.name, standard.type = name, cls.__annotations__[name]
                standard._field_type = dataclasses._FIELD
                built[name] = standard
            cls.__dataclass_fields__ = built
            cls.__dataclass_params__ = dataclasses.make_dataclass("Frozen", [], frozen=True).__dataclass_params__
            return built

    def _init(self, *args, **kwargs):
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

    def _default(self, spec):
        if spec.default is not _Missing:
            return spec.default
        if spec.default_factory is not _Missing:
            return spec.default_factory()
        raise TypeError(f"{type(self).__name__} needs {spec.name!r}")

    def _compared(self):
        return tuple(self.__dict__[name] for name, spec in self.__light_fields__.items() if spec.compare)

    def _eq(self, other):
        return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self):
        return hash(_compared(self))

    def _repr(self):
        parts = (f"{name}={self.__dict__[name]!r}" for name, spec in self.__light_fields__.items() if spec.repr)
        return f"{type(self).__qualname__}({', '.join(parts)})"

    def _setattr(_self, name, _value):
        raise AttributeError(f"cannot assign to field {name!r}: it is frozen")

    def _delattr(_self, name):
        raise AttributeError(f"cannot delete field {name!r}: it is frozen")

    _SHARED = {
        "__init__": _init,
        "__eq__": _eq,
        "__hash__": _hash,
        "__repr__": _repr,
        "__setattr__": _setattr,
        "__delattr__": _delattr,
    }
