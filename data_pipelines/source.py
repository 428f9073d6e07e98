"""What a dataset gives to the writer: shards as pure functions of their number."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol

Example = Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A sample that was left out, and why (a short reason, the same for its like)."""

    reason: str
    sample: str


class ShardSource(Protocol):
    """A dataset cut into shards. Pickled into worker processes, so keep it small.

    ``examples(split, shard)`` must depend on its arguments and the source's settings
    alone: a shard written again is then the same byte for byte.
    """

    @property
    def name(self) -> str:
        """Dataset name, lower case with underscores."""
        ...

    @property
    def version(self) -> str:
        """Version of the dataset, three numbers."""
        ...

    @property
    def description(self) -> str:
        """One paragraph for the metadata."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is written, as JSON values."""
        ...

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """For each split, the samples of each shard (before rejections)."""
        ...

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The samples of a shard: flat examples (``schema``) or rejections."""
        ...
