"""Large JSON files as streams of their entries, in bounded memory."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import ijson
from tqdm import tqdm

from twohand_jax.errors import InputError

# Python writes NaN and infinities in a way that is no JSON; both are read as null.
NOT_JSON = re.compile(rb"(?<=[\[,:\s])-?(?:NaN|Infinity)(?=[\s,\]}])")
ENDS = b",]}"
Row = tuple[str, object]


class Readable(Protocol):
    """What a parser reads from."""

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes; none at the end."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """A list of objects in a JSON file.

    Attributes:
        name: of the table.
        path: JSON file.
        prefix: where the list lies, as ``annotations``.
        key: the field that tells the objects apart; None for their number.
        keep: leaves out the objects for which it is false.
    """

    name: str
    path: Path
    prefix: str
    key: str | None = "id"
    keep: Callable[[Mapping[str, Any]], bool] | None = None

    def rows(self, file: Readable) -> Iterator[Row]:
        """Key and object, in the order of the file.

        Raises:
            InputError: an object has no key.
        """
        items = ijson.items(file, f"{self.prefix}.item", use_float=True)
        for number, item in enumerate(items):
            if self.key is None:
                name = str(number)
            elif isinstance(item, dict) and self.key in item:
                name = str(item[self.key])
            else:
                raise InputError(
                    f"Entry {number} of {self.prefix!r} in {self.path} has no field "
                    f"{self.key!r}."
                )
            if self.keep is None or self.keep(item):
                yield name, item


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entries:
    """Values of nested objects in a JSON file, under their keys joined by slashes.

    Attributes:
        name: of the table.
        path: JSON file.
        depth: how many levels of keys there are.
    """

    name: str
    path: Path
    depth: int = 1

    def rows(self, file: Readable) -> Iterator[Row]:
        """Joined keys and value, in the order of the file.

        Raises:
            InputError: there is something else than an object where keys are expected.
        """
        keys: list[str] = []
        builder: ijson.ObjectBuilder | None = None
        level = 0
        for event, value in ijson.basic_parse(file, use_float=True):
            if builder is not None:
                builder.event(event, value)
                level += event.startswith("start_") - event.startswith("end_")
                if level == 0:
                    yield "/".join(keys), builder.value
                    builder, keys = None, keys[:-1]
            elif event == "map_key":
                keys.append(value)
            elif len(keys) == self.depth:
                if not event.startswith("start_"):
                    yield "/".join(keys), value
                    keys.pop()
                    continue
                builder, level = ijson.ObjectBuilder(), 1
                builder.event(event, value)
            elif event == "end_map":
                del keys[-1:]
            elif event != "start_map":
                where = "/".join(keys) or "its top"
                raise InputError(
                    f"{self.path} holds no object at {where}; expected {self.depth} "
                    "levels of keys."
                )


Collection = Items | Entries


def rows(collection: Collection) -> Iterator[Row]:
    """Keys and entries of a collection, with a bar on a terminal.

    Raises:
        InputError: the file is not whole, or has another form.
    """
    path = collection.path
    bar = tqdm(
        total=path.stat().st_size,
        unit="B",
        unit_scale=True,
        desc=f"{path.name}: {collection.name}",
        disable=None,
    )
    with path.open("rb") as file, bar:
        try:
            yield from collection.rows(_Lenient(file, bar))
        except ijson.JSONError as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{path} is no complete JSON ({reason}); it is perhaps cut off: "
                "download or unpack it again."
            ) from error


class _Lenient:
    """A JSON file in which NaN and infinities are nulls."""

    def __init__(self, file: IO[bytes], bar: tqdm) -> None:
        self.file, self.bar = file, bar

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes, up to the end of a value."""
        chunk = self.file.read(size)
        while chunk and chunk[-1] not in ENDS:
            rest = self.file.read(1)
            if not rest:
                break
            chunk += rest
        self.bar.update(len(chunk))
        if b"NaN" in chunk or b"Infinity" in chunk:
            chunk = NOT_JSON.sub(b"null", chunk)
        return chunk
