"""Large JSON files as an index on disk, built and read in bounded memory.

Annotation files of hundreds of megabytes are parsed as a stream, once, into an SQLite
file; worker processes look single entries up in it and never see the JSON. The index
knows size and time of its sources, so that a changed source is read again.
"""

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipelines import json_stream
from data_pipelines.json_stream import Collection
from twohand_jax.errors import InputError

FORMAT = 1
BATCH = 1000


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
            cannot be written.
    """
    state = _state(collections, settings)
    if _is_current(path, state):
        return Index(path)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(partial)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            for collection in collections:
                _fill(database, collection)
            database.execute("CREATE TABLE state (value TEXT)")
            database.execute("INSERT INTO state VALUES (?)", (state,))
            database.commit()
        partial.replace(path)
    except (OSError, sqlite3.OperationalError) as error:
        raise InputError(f"Cannot write the index {path}: {error}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Index(path)


def _state(collections: Sequence[Collection], settings: str) -> str:
    """What the index depends on."""
    files = {}
    for path in {collection.path for collection in collections}:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path} is missing: {error.strerror}.") from error
        files[str(path.resolve())] = [status.st_size, status.st_mtime_ns]
    names = [collection.name for collection in collections]
    return json.dumps([FORMAT, names, settings, files], sort_keys=True)


def _is_current(path: Path, state: str) -> bool:
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
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
    for number, (key, value) in enumerate(json_stream.rows(collection)):
        text = json.dumps(value, separators=(",", ":"))
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
