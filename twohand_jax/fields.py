"""Dataclasses from plain mappings, as configs and model files hold them."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from twohand_jax.errors import InputError

T = TypeVar("T")


def dataclass_of(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from a mapping, converting sections, tuples and numbers.

    Args:
        cls: frozen keyword-only dataclass; its annotations are what is checked.
        values: of its fields; nested dataclasses as mappings.
        where: the mapping's name in messages.

    Raises:
        InputError: a field is unknown, missing or of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(
            f"{where} has no field {unknown[0]!r}; its fields are "
            f"{', '.join(sorted(hints))}."
        )
    kept = {
        name: _convert(hints[name], value, f"{where}.{name}")
        for name, value in values.items()
    }
    try:
        return cls(**kept)
    except TypeError as error:
        raise InputError(f"{where} is incomplete: {error}.") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """A value of a config as its field's type; of a union, the first that fits."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return dataclass_of(typing.cast(type, option), value, where)
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            item, *_ = typing.get_args(option)
            return tuple(_convert(item, entry, where) for entry in value)
        if typing.get_origin(option) is Mapping and isinstance(value, Mapping):
            _, item = typing.get_args(option)
            return {
                name: _convert(item, entry, f"{where}.{name}")
                for name, entry in value.items()
            }
        whole = isinstance(value, int) and not isinstance(value, bool)
        if option is float and whole:
            return float(value)
        if isinstance(option, type) and isinstance(value, option):
            return value
        if typing.get_origin(option) is typing.Literal and value in option.__args__:
            return value
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise InputError(
        f"{where} is {value!r}, a {type(value).__name__}; expected {names}."
    )
