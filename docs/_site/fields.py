"""An extension of Griffe: the reference lists all fields of a record.

A docstring's ``Attributes:`` holds what an annotation does not say, so many fields are
not in it. Here they are added, in the order of the class and with their defaults.
"""

import re
from typing import Any

import griffe

HEADING = "Attributes:"
ENTRY = re.compile(r"^    (\w+): ", re.MULTILINE)


class Fields(griffe.Extension):
    """Completes the attributes of dataclasses and named tuples."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Rewrite the class' docstring."""
        names = [name for name in cls.members if _is_field(cls, name)]
        if not names or not cls.docstring:
            return
        text, _, listed = cls.docstring.value.partition(f"{HEADING}\n")
        pieces = ENTRY.split(f"{listed.rstrip()}\n")[1:]
        told = dict(zip(pieces[::2], pieces[1::2], strict=True))
        lines = [f"    {name}: {_told(cls, name, told)}" for name in names]
        value = f"{text.rstrip()}\n\n{HEADING}\n" + "\n".join(lines)
        cls.docstring.value = value


def _is_field(cls: griffe.Class, name: str) -> bool:
    member = cls.members[name]
    field = member.is_attribute and "property" not in member.labels
    return field and not name.startswith("_") and bool(member.annotation)


def _told(cls: griffe.Class, name: str, told: dict[str, str]) -> str:
    """What a field's entry says, and its default where that is a plain value."""
    text = told.get(name, "").rstrip()
    value = str(cls.members[name].value or "")
    if value and "(" not in value and len(value) < 40:
        text = f"{text or ''} Default: ``{value}``.".strip()
    return text or "&nbsp;"  # an entry without a text is no entry
