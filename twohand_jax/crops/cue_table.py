"""The kinds of cues there are. A new kind is a file beside this one and a line here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from twohand_jax import fields
from twohand_jax.crops.cue_kinds import CueKind, MapStorage, PointStorage
from twohand_jax.crops.depth import DEPTH
from twohand_jax.crops.keypoints import KEYPOINTS
from twohand_jax.crops.motion import Motion
from twohand_jax.crops.normals import NORMALS
from twohand_jax.crops.segmentation import SEGMENTATION
from twohand_jax.errors import InputError
from twohand_jax.types import Cues

# In the order of the ablation's rows; a network's encoders follow it.
CUE_KINDS: Mapping[str, CueKind] = {
    kind.name: kind for kind in (KEYPOINTS, SEGMENTATION, DEPTH, NORMALS)
}
NAMES = tuple(CUE_KINDS)
DEFAULT = tuple(name for name, kind in CUE_KINDS.items() if kind.is_default)


def check_names(
    names: Iterable[str], *, where: str, among: Sequence[str] = NAMES
) -> None:
    """Refuse names of cues that there are not.

    Args:
        names: to be looked up.
        where: the setting's name in the message.
        among: those that are allowed.

    Raises:
        InputError: a name is unknown.
    """
    unknown = [name for name in names if name not in among]
    if unknown:
        raise InputError(
            f"{where} names the cue {unknown[0]!r}; cues are {', '.join(among)}."
        )


def check_field(config: Any, field: str, *, among: Sequence[str] = NAMES) -> None:
    """Refuse names of cues that there are not, in a field of a config.

    Args:
        config: dataclass, in whose ``__post_init__`` this is called.
        field: its field: names, or a mapping by names.
        among: those that are allowed.

    Raises:
        FieldError: a name is unknown.
    """
    unknown = [name for name in getattr(config, field) if name not in among]
    if unknown:
        raise fields.error(
            config,
            field,
            f"names the cue {unknown[0]!r}; cues are {', '.join(among)}.",
        )


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Known names of cues, each once, in the table's order."""
    wanted = set(names)
    return tuple(name for name in NAMES if name in wanted)


def shape_of(name: str, height: int, width: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a cue's values for a picture or canvas of this size."""
    storage = CUE_KINDS[name].storage
    if isinstance(storage, PointStorage):
        return storage.shape, np.dtype(np.float32)
    channels = () if storage.channels == 1 else (storage.channels,)
    return (height, width, *channels), np.dtype(storage.values)


def map_storage(name: str) -> MapStorage | None:
    """How a map is stored; None for cues that are not maps."""
    storage = CUE_KINDS[name].storage
    return storage if isinstance(storage, MapStorage) else None


def move(cues: Cues, motion: Motion) -> Cues:
    """The cues of a picture after it moved."""
    values = {
        name: CUE_KINDS[name].move(value, motion) for name, value in cues.values.items()
    }
    return cues._replace(values=values)
