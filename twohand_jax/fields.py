"""Dataclasses from plain mappings, and the ranges that their fields must lie in."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from twohand_jax.errors import InputError, did_you_mean

T = TypeVar("T")
UNIONS = types.UnionType, typing.Union


class FieldError(InputError):
    """A field of a dataclass has a value that it cannot have.

    Attributes:
        field: its name, dotted if it is a field's field.
        problem: the rest of the sentence, from "is" on.
    """

    def __init__(self, owner: str, field: str, problem: str) -> None:
        """Make the sentence.

        Args:
            owner: what the field is of: a class, or a section of a config.
            field: its name.
            problem: the rest of the sentence.
        """
        super().__init__(f"{owner}.{field} {problem}")
        self.field, self.problem = field, problem


class Range(NamedTuple):
    """The finite numbers that a field may hold.

    Attributes:
        low, high: the ends.
        open_low, open_high: whether an end itself is left out.
        hint: what to do, after the sentence; "" for nothing.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    hint: str = ""

    def holds(self, value: float) -> bool:
        """Whether a number lies in the range; NaN and infinities never do."""
        if not self.low <= value <= self.high or abs(value) == math.inf:
            return False
        ends = (self.open_low, self.low), (self.open_high, self.high)
        return not any(is_open and value == end for is_open, end in ends)

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return " and ".join(parts) or "a finite number"


COUNT = Range(low=1)
POSITIVE = Range(low=0, open_low=True)
NOT_NEGATIVE = Range(low=0)
PROBABILITY = Range(low=0, high=1)
SHARE_BELOW_ONE = Range(low=0, high=1, open_high=True)


def check(config: Any, **allowed: Range | tuple[str, ...]) -> None:
    """Refuse values out of range; for the ``__post_init__`` of a dataclass.

    Args:
        config: the dataclass.
        allowed: by field, the range of its number (or of each entry of its tuple or
            mapping), or the words it may be. None as a value is passed over.

    Raises:
        FieldError: names the first field that holds something else.
    """
    for name, wanted in allowed.items():
        value = getattr(config, name)
        if isinstance(wanted, Range):
            _check_range(config, name, value, wanted)
        elif value not in wanted:
            raise error(config, name, f"is {value!r}; it must be {_either(wanted)}.")


def error(config: Any, field: str, problem: str) -> FieldError:
    """What a dataclass raises about one of its fields, see ``FieldError``."""
    return FieldError(type(config).__name__, field, problem)


def _check_range(config: Any, name: str, value: Any, wanted: Range) -> None:
    if value is None:
        return
    entries: Iterable[Any] = (value,)
    each = ""
    if isinstance(value, Mapping | tuple | list):
        entries = value.values() if isinstance(value, Mapping) else value
        each = "each number of "
    if not all(wanted.holds(entry) for entry in entries):
        hint = f" ({wanted.hint})" if wanted.hint else ""
        raise error(config, name, f"is {value!r}; {each}it must be {wanted}{hint}.")


def names(cls: Any) -> list[str]:
    """The fields of a dataclass, in their order."""
    return [field.name for field in dataclasses.fields(cls)]


def sections_in(cls: Any, name: str) -> tuple[Any, ...]:
    """The dataclasses that a field may contain; () if it is not a section."""
    hint = _hints(cls).get(name)
    options = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    return tuple(option for option in options if dataclasses.is_dataclass(option))


def dataclass_of(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from a mapping, converting sections, tuples and numbers.

    Args:
        cls: frozen keyword-only dataclass; its annotations are what is checked.
        values: of its fields; nested dataclasses as mappings.
        where: the mapping's name in messages.

    Raises:
        InputError: a field is unknown, missing, of the wrong type or length, not
            finite, or refused by the dataclass itself; one sentence that begins with
            the field's dotted name.
    """
    hints = _hints(cls)
    unknown = [name for name in values if name not in hints]
    if unknown:
        near = did_you_mean(unknown[0], hints)
        raise InputError(
            f"{where} has no field {unknown[0]!r}{near}; its fields are "
            f"{', '.join(sorted(hints))}."
        )
    missing = sorted(_required(cls) - set(values))
    if missing:
        raise InputError(f"{where}.{missing[0]} is missing, and it has no default.")
    kept = {
        name: _convert(hints[name], value, f"{where}.{name}")
        for name, value in values.items()
    }
    try:
        return cls(**kept)
    except FieldError as failure:
        raise InputError(f"{where}.{failure.field} {failure.problem}") from failure
    except InputError as failure:
        raise InputError(f"{where}: {failure}") from failure


def _hints(cls: Any) -> dict[str, Any]:
    annotated = typing.get_type_hints(cls)
    return {name: annotated[name] for name in names(cls)}


def _required(cls: Any) -> set[str]:
    missing = dataclasses.MISSING
    return {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is missing and field.default_factory is missing
    }


def _convert(hint: Any, value: Any, where: str) -> Any:
    """A value of a config as its field's type; of a union, the first that fits."""
    options = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    if value is None and type(None) in options:
        return None
    if isinstance(value, Mapping):
        classes = [one for one in options if dataclasses.is_dataclass(one)]
        if classes:
            return _choose(classes, value, where)
    if isinstance(value, float) and float in options and not math.isfinite(value):
        raise InputError(f"{where} is {value}; it must be a finite number.")
    for option in options:
        origin, arguments = typing.get_origin(option), typing.get_args(option)
        if origin is tuple and isinstance(value, list | tuple):
            return _tuple(arguments, value, where)
        if _is_mapping(origin) and isinstance(value, Mapping):
            return _mapping(arguments, value, where)
        if origin is typing.Literal and value in arguments:
            return value
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        flag_for_number = isinstance(value, bool) and option is not bool
        if isinstance(option, type) and origin is None and not flag_for_number:
            if isinstance(value, option):
                return value
    expected = _either([_name(option) for option in options])
    raise InputError(
        f"{where} is {value!r}, of type {type(value).__name__}; expected {expected}."
    )


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        wanted = [arguments[0]] * len(value)
    else:
        wanted = list(arguments)
    if len(wanted) != len(value):
        raise InputError(
            f"{where} is {value!r}, of length {len(value)}; expected {len(wanted)} "
            "entries."
        )
    return tuple(
        _convert(hint, entry, f"{where}[{index}]")
        for index, (hint, entry) in enumerate(zip(wanted, value, strict=True))
    )


def _mapping(arguments: tuple[Any, ...], value: Any, where: str) -> dict[Any, Any]:
    key, entry = arguments
    return {
        _convert(key, name, f"A name in {where}"): _convert(
            entry, one, f"{where}.{name}"
        )
        for name, one in value.items()
    }


def _choose(classes: list[Any], values: Mapping[str, Any], where: str) -> Any:
    """The one dataclass of several that a mapping is of."""
    if len(classes) == 1:
        return dataclass_of(classes[0], values, where)
    fitting = [cls for cls in classes if _fits(cls, values)] or _tagged(classes, values)
    if len(fitting) == 1:
        return dataclass_of(fitting[0], values, where)
    built = []
    for cls in fitting:
        try:
            built.append(dataclass_of(cls, values, where))
        except InputError:
            continue
    if len(built) == 1:
        return built[0]
    what = "fits more than one" if built else "fits none"
    options = "; ".join(f"{cls.__name__} ({', '.join(names(cls))})" for cls in classes)
    raise InputError(f"{where} is {dict(values)!r}, which {what} of {options}.")


def _fits(cls: Any, values: Mapping[str, Any]) -> bool:
    """Whether a mapping names fields of a dataclass, and its kind if it has one."""
    if not _required(cls) <= set(values) <= set(_hints(cls)):
        return False
    return all(
        values[name] in typing.get_args(hint)
        for name, hint in _kinds(cls).items()
        if name in values
    )


def _kinds(cls: Any) -> dict[str, Any]:
    """The fields of a dataclass that tell it from others by a word."""
    return {
        name: hint
        for name, hint in _hints(cls).items()
        if typing.get_origin(hint) is typing.Literal
    }


def _tagged(classes: list[Any], values: Mapping[str, Any]) -> list[Any]:
    """The dataclass that a mapping was meant for, of several that it does not fit.

    If one alone of them must be named by its kind, the kind decides.
    """
    named = [cls for cls in classes if _required(cls) & set(_kinds(cls))]
    if len(named) != 1 or len(classes) != 2:
        return []
    (kind,) = named
    is_meant = all(name in values for name in _required(kind) & set(_kinds(kind)))
    return named if is_meant else [cls for cls in classes if cls is not kind]


def _name(option: Any) -> str:
    if typing.get_origin(option) is typing.Literal:
        return _either(typing.get_args(option))
    if option is type(None):
        return "None"
    if _is_mapping(typing.get_origin(option)):
        return f"a mapping of names to {_name(typing.get_args(option)[1])}"
    is_class = isinstance(option, type) and typing.get_origin(option) is None
    return option.__name__ if is_class else str(option).replace("typing.", "")


def _either(words: Iterable[Any]) -> str:
    """Words as a choice: a, b or c."""
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} or {last}" if most else last
