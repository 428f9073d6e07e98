"""Stores of objects: how they are reached, and what they refuse in a sentence."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twohand_jax import extras
from twohand_jax.errors import FailedError, InputError, MissingDependencyError

T = TypeVar("T")


class Store(NamedTuple):
    """A kind of store.

    Attributes:
        scheme: of its URLs, as fsspec has it.
        package: that reads it.
        extra: that brings the package; "" if none does.
    """

    scheme: str
    package: str
    extra: str


STORES = {
    "gs": Store("gs", "gcsfs", "gcs"),
    "gcs": Store("gs", "gcsfs", "gcs"),
    "s3": Store("s3", "s3fs", "s3"),
    "s3a": Store("s3", "s3fs", "s3"),
    "az": Store("az", "adlfs", ""),
    "abfs": Store("abfs", "adlfs", ""),
}
WAITS_S = (0.2, 1.0, 5.0)  # before each further try


def check_package(store: Store) -> None:
    """Raises MissingDependencyError where what reads a store is not installed."""
    if extras.is_there(store.package):
        return
    how = f"`python -m pip install {store.package}`"
    if store.extra:
        how = extras.command(store.extra)
    raise MissingDependencyError(
        f"{store.scheme}:// needs the package {store.package}, which is not installed: "
        f"install it with {how}."
    )


class Entry(NamedTuple):
    """What a store says of an object: bytes, a tag of the content, and the time."""

    size: int
    tag: str
    modified: float | None = None


def entry_of(info: dict[str, Any]) -> Entry:
    """What matters of what fsspec says of an object."""
    tags = (info.get(name) for name in ("generation", "ETag", "etag", "created"))
    when: Any = info.get("LastModified") or info.get("mtime")
    return Entry(
        size=int(info.get("size") or 0),
        tag=str(next((tag for tag in tags if tag), "")),
        modified=when.timestamp() if hasattr(when, "timestamp") else None,
    )


def tried(
    do: Callable[[Any], T],
    scheme: str,
    name: str,
    what: str,
    kind: type[FailedError],
) -> T:
    """What ``do`` returns for a store's filesystem; tried again when that fails.

    Args:
        do: takes fsspec's filesystem.
        scheme: of the store.
        name: URL, for the message.
        what: is done, as "read".
        kind: what is raised when it still fails after ``WAITS_S``.

    Raises:
        FileNotFoundError, FileExistsError: as ``do``.
        FailedError: of this kind.
    """
    for wait in (*WAITS_S, None):
        try:
            return do(_filesystem(scheme))
        except (FileNotFoundError, FileExistsError, InputError):
            raise
        except Exception as error:  # each store has its own
            if wait is None or isinstance(error, PermissionError):
                reason = " ".join(str(error).split()).rstrip(".")
                raise kind(
                    f"{name} cannot be {what}: {reason[:300] or type(error).__name__}."
                ) from error
            time.sleep(wait)
    raise AssertionError


def _filesystem(scheme: str) -> Any:
    import fsspec

    return fsspec.filesystem(scheme, use_listings_cache=False)
