"""JSON files of datasets: small ones whole, large ones in bounded memory.

Large files are read as streams, and looked up in an index on disk.
"""

import contextlib
import dataclasses
import functools
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import ijson

from twohand_jax import files, reading
from twohand_jax.errors import FailedError, InputError
from twohand_jax.progress import BYTES, Bar

FORMAT = 1
SMALL_BYTES, LARGE_BYTES = 512 << 20, 64 << 30
TOKEN_BYTES = 4096  # of a number or word, at most
BATCH = 1000
MAX_DEPTH = 2000  # about: brackets in texts are counted as well
FAILS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def read_json(path: Path, advice: str) -> Any:
    """A small file whole.

    Args:
        path: JSON file.
        advice: where the dataset comes from, a sentence without its full stop.

    Raises:
        InputError: the file is missing or is not JSON.
        UnreadableError: it is there, but the system cannot read it.
    """
    try:
        return reading.read_json(path, limit=SMALL_BYTES)
    except InputError as error:
        raise InputError(f"{error} {advice}.") from error


class Index:
    """Read-only look-ups; is pickled as its path and opened in each process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getstate__(self) -> dict[str, Path]:
        return {"path": self.path}

    @functools.cached_property
    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode=ro&immutable=1",
            uri=True,
            check_same_thread=False,
        )

    @functools.cached_property
    def tables(self) -> frozenset[str]:
        """Names of the tables."""
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        return frozenset(name for (name,) in self._database.execute(query))

    def count(self, name: str) -> int:
        """Number of entries of a table."""
        (found,) = self._database.execute(f'SELECT count(*) FROM "{name}"').fetchone()
        return found

    def at(self, name: str, number: int) -> Any:
        """The entry of this number, counted from 0 in the order of the file."""
        query = f'SELECT value FROM "{name}" WHERE number = ?'
        row = self._database.execute(query, (number,)).fetchone()
        if row is None:
            raise IndexError(f"{name} has no entry {number}")
        return json.loads(row[0])

    def get(self, name: str, key: object) -> Any:
        """The entry under this key; None where there is none."""
        query = f'SELECT value FROM "{name}" WHERE key = ?'
        row = self._database.execute(query, (str(key),)).fetchone()
        return None if row is None else json.loads(row[0])

    def keys(self, name: str) -> Iterator[str]:
        """All keys of a table, in the order of the file."""
        for row in self._database.execute(f'SELECT key FROM "{name}" ORDER BY number'):
            yield row[0]


class Readable(Protocol):
    """What a parser reads from."""

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes; none at the end."""
        ...


KeyedEntry = tuple[str, object]


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

    def rows(self, file: Readable) -> Iterator[KeyedEntry]:
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

    def rows(self, file: Readable) -> Iterator[KeyedEntry]:
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


Collection = Items | Entries


def build(
    path: Path, collections: Sequence[Collection], *, settings: str = ""
) -> Index:
    """The index of some collections, made where it is missing or out of date.

    Args:
        path: of the SQLite file.
        collections: what goes in.
        settings: whatever decides what goes in besides the files (``Items.keep``).

    Raises:
        InputError: a file is missing, broken, or holds a key twice; or the index
            cannot be written there.
        FailedError: the disk is full.
    """
    state = _state(collections, settings)
    if _is_current(path, state):
        return Index(path)
    try:
        with (
            files.replacing(path) as beside,
            contextlib.closing(sqlite3.connect(beside)) as database,
        ):
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            for collection in collections:
                _fill(database, collection)
            database.execute("CREATE TABLE state (value TEXT)")
            database.execute("INSERT INTO state VALUES (?)", (state,))
            database.commit()
    except sqlite3.OperationalError as error:
        kind = FailedError if error.sqlite_errorcode in FAILS else InputError
        raise kind(f"Cannot write {path}: {error}.") from error
    return Index(path)


def _state(collections: Sequence[Collection], settings: str) -> str:
    """What the index depends on."""
    files = {}
    for path in {collection.path for collection in collections}:
        reading.check_file(path, limit=LARGE_BYTES)
        status = path.stat()
        files[str(path.resolve())] = [status.st_size, status.st_mtime_ns]
    names = [collection.name for collection in collections]
    return json.dumps([FORMAT, names, settings, files], sort_keys=True)


def _is_current(path: Path, state: str) -> bool:
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT value FROM state").fetchone() == (state,)
    except sqlite3.DatabaseError:
        return False


def _fill(database: sqlite3.Connection, collection: Collection) -> None:
    """Make the table of a collection."""
    name = collection.name
    database.execute(
        f'CREATE TABLE "{name}" '
        "(number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, value TEXT NOT NULL)"
    )
    for number, (key, value) in enumerate(rows(collection)):
        try:
            text = json.dumps(value, separators=(",", ":"))
        except RecursionError as error:
            raise InputError(
                f"{name} {key} of {collection.path} is nested absurdly deep."
            ) from error
        try:
            database.execute(
                f'INSERT INTO "{name}" VALUES (?, ?, ?)', (number, key, text)
            )
        except sqlite3.IntegrityError as error:
            raise InputError(
                f"{collection.path} holds {name} {key} twice; keys must be unique."
            ) from error
        if number % BATCH == 0:
            database.commit()


# Python writes NaN and infinities in a way that is not JSON; both are read as null.
NOT_JSON = re.compile(rb"(?<=[\[,:\s])-?(?:NaN|Infinity)(?=[\s,\]}])")
ENDS = b",]}"


def rows(collection: Collection) -> Iterator[KeyedEntry]:
    """Keys and entries of a collection, with a bar on a terminal.

    Raises:
        InputError: the file is not whole, or has another form.
    """
    path = collection.path
    bar = Bar(
        total=path.stat().st_size,
        unit=BYTES,
        name=f"{path.name}: {collection.name}",
    )
    with path.open("rb") as file, bar:
        try:
            yield from collection.rows(_Lenient(file, bar))
        except (ijson.JSONError, RecursionError, UnicodeDecodeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{path} is not complete JSON ({reason}); it is perhaps cut off: "
                "download or unpack it again."
            ) from error


class _Lenient:
    """A JSON file in which NaN and infinities are nulls."""

    def __init__(self, file: IO[bytes], bar: Bar) -> None:
        self.file, self.bar, self.depth = file, bar, 0

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes, up to the end of a value."""
        chunk = self.file.read(size)
        end = len(chunk) + TOKEN_BYTES
        while chunk and chunk[-1] not in ENDS and len(chunk) < end:
            rest = self.file.read(1)
            if not rest:
                break
            chunk += rest
        self.bar.update(len(chunk))
        opened = chunk.count(b"[") + chunk.count(b"{")
        closed = chunk.count(b"]") + chunk.count(b"}")
        self.depth = max(self.depth + opened - closed, 0)
        if self.depth > MAX_DEPTH:  # ijson's memory grows with the square
            raise InputError(
                f"{self.file.name} is nested more than {MAX_DEPTH} deep, which no "
                "annotations are."
            )
        if b"NaN" in chunk or b"Infinity" in chunk:
            chunk = NOT_JSON.sub(b"null", chunk)
        return chunk
