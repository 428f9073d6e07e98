"""The interface of cue extractors, and the combination of several into one.

Hands are detected first. An extractor is given their boxes and sides, so it works alike
for photographs, folders and record sets.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax.crops import cue_table
from twohand_jax.errors import InputError
from twohand_jax.types import NO_CUES, Cues


class Extractor(Protocol):
    """Makes some of the cues of pictures whose hands have been found.

    For several networks, ``combine`` an extractor for each, so that every cue's
    provenance names its own network.
    """

    @property
    def name(self) -> str:
        """Name and size of what makes the cues, such as ``sapiens_0.3b``."""
        ...

    @property
    def version(self) -> str:
        """A text that changes whenever the cues change."""
        ...

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the cues that the extractor makes (``crops.cue_table``)."""
        ...

    def __call__(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
    ) -> list[Cues]:
        """Make the cues of each picture: numpy, in pixels of the whole picture.

        Args:
            images: uint8 RGB, of any sizes.
            boxes: unexpanded hand boxes (right, left), x0, y0, x1, y1 in pixels.
            valid: which hands are there.

        Returns:
            One record for each picture, with the cues that were made.
        """
        ...


class Provenance(NamedTuple):
    """Name and version of what made a cue, as records and files store it."""

    source: str
    version: str


def merge(base: Cues, other: Cues, kinds: Iterable[str]) -> Cues:
    """The base with some kinds of cues, values and flags, taken from the other."""
    taken = other.only(kinds)
    return Cues(base.values | taken.values, base.present | taken.present)


class Combined:
    """Several extractors as one.

    Attributes:
        parts: those that are used, with the kinds of cues that come from each.
    """

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        """Take each kind of cue from the first extractor that makes it."""
        self.parts: list[tuple[Extractor, tuple[str, ...]]] = []
        free = set(cue_table.NAMES)
        for extractor in extractors:
            kinds = tuple(kind for kind in extractor.makes if kind in free)
            free -= set(kinds)
            if kinds:
                self.parts.append((extractor, kinds))

    @property
    def name(self) -> str:
        """The names of those that are used."""
        return " + ".join(extractor.name for extractor, _ in self.parts)

    @property
    def version(self) -> str:
        """The versions of those that are used."""
        return " + ".join(extractor.version for extractor, _ in self.parts)

    @property
    def makes(self) -> tuple[str, ...]:
        """What any of them makes."""
        made = {kind for _, kinds in self.parts for kind in kinds}
        return cue_table.in_order(made)

    def __call__(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
    ) -> list[Cues]:
        """See ``Extractor``."""
        cues = [NO_CUES for _ in images]
        for extractor, kinds in self.parts:
            found = extractor(images, boxes, valid)
            cues = [merge(*pair, kinds) for pair in zip(cues, found, strict=True)]
        return cues


def combine(extractors: Sequence[Extractor]) -> Extractor:
    """Combine extractors; each kind of cue comes from the first one that makes it.

    Raises:
        InputError: there is no extractor, or one makes an unknown kind of cue.
    """
    if not extractors:
        raise InputError("No cue extractor is given; at least one is needed.")
    for extractor in extractors:
        where = f"The cue extractor {extractor.name}"
        cue_table.check_names(extractor.makes, where=where)
    return extractors[0] if len(extractors) == 1 else Combined(extractors)


def limit(extractor: Extractor, kinds: Iterable[str]) -> Extractor:
    """The extractor without the parts that make none of these kinds of cues."""
    if not isinstance(extractor, Combined):
        return extractor
    wanted = set(kinds)
    parts = [part for part, made in extractor.parts if wanted & set(made)]
    return combine(parts)


def provenance(extractor: Extractor) -> Mapping[str, Provenance]:
    """What makes each of the cues that an extractor makes."""
    if not isinstance(extractor, Combined):
        own = Provenance(extractor.name, extractor.version)
        return dict.fromkeys(extractor.makes, own)
    return {
        kind: provenance(part)[kind]
        for part, kinds in extractor.parts
        for kind in kinds
    }


def extract(
    extractor: Extractor,
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    boxes: Float[np.ndarray, "n 2 4"],
    valid: Bool[np.ndarray, "n 2"],
    *,
    batch: int = 8,
) -> list[Cues]:
    """Extract the cues of many pictures, in batches of pictures of one size.

    Args:
        extractor: see ``Extractor``.
        images: uint8 RGB, of any sizes.
        boxes: see ``Extractor``.
        valid: see ``Extractor``.
        batch: largest number of pictures that the extractor is given at once.
    """
    found: dict[int, Cues] = {}
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(index)
    for same in by_size.values():
        for at in range(0, len(same), batch):
            part = same[at : at + batch]
            cues = extractor([images[i] for i in part], boxes[part], valid[part])
            found.update(zip(part, cues, strict=True))
    return [found[index] for index in range(len(images))]
