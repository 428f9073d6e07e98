"""Reading FreiHAND's annotation files (Zimmermann et al., ICCV 2019), version 2.

Layout and keys are those of the release and of its toolbox (github.com/lmb-freiburg/
freihand, ``utils/fh_utils.py``): for ``training`` and ``evaluation`` lists over the
samples in ``{split}_{K,mano,xyz,verts,scale}.json``. Joints are in metres in the
camera's frame (x right, y down, z forward) and already in the canonical order
(``utils/mano_utils.py``: wrist, then thumb to pinky, base to tip).
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.errors import InputError

PARTS = {"K": (3, 3), "xyz": (21, 3), "mano": (61,)}
HOME = (
    "FreiHAND v2 comes from its project page at the University of Freiburg "
    "(lmb.informatik.uni-freiburg.de, FreiHAND dataset), for research only"
)


@dataclasses.dataclass(frozen=True)
class Annotations:
    """A split's annotations, one row a sample.

    ``mano`` is 48 pose (global orientation and 15 joints relative to the mean pose),
    10 shape, 2 root pixel and 1 scale (toolbox: ``utils/model.py``, ``split_theta``
    and ``HandModel``, which ``view_samples.py`` makes with ``use_mean_pose``).
    ``complete`` says for each file which rows had as many numbers as they should;
    the others are NaN.
    """

    K: Float[np.ndarray, "n 3 3"]
    xyz: Float[np.ndarray, "n 21 3"]
    mano: Float[np.ndarray, "n 61"]
    complete: dict[str, Bool[np.ndarray, "n"]]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.K)


def path(root: Path, split: str, part: str) -> Path:
    """One annotation file of a split (``training`` or ``evaluation``)."""
    return root / f"{split}_{part}.json"


def read(root: Path, split: str) -> Annotations:
    """The annotations of a split.

    Raises:
        InputError: a file is missing, is not a JSON list, or the lists differ in
            length.
    """
    columns, complete = {}, {}
    for part, shape in PARTS.items():
        columns[part], complete[part] = _table(_load(path(root, split, part)), shape)
    lengths = {part: len(column) for part, column in columns.items()}
    if len(set(lengths.values())) != 1:
        found = ", ".join(f"{split}_{part}.json {n}" for part, n in lengths.items())
        raise InputError(
            f"The annotation files of FreiHAND's {split} split below {root} list "
            f"different numbers of samples ({found}); get all of them from one "
            f"release. {HOME}."
        )
    return Annotations(**columns, complete=complete)


def _load(file: Path) -> list:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file} is missing or not readable. {HOME}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is not readable as JSON ({error}): it is damaged or cut short; "
            f"get it again. {HOME}."
        ) from error
    if not isinstance(content, list):
        raise InputError(
            f"{file} holds a {type(content).__name__}, expected a list with an entry "
            f"for each sample. {HOME}."
        )
    return content


def _table(
    rows: list, shape: tuple[int, ...]
) -> tuple[Float[np.ndarray, "n ..."], Bool[np.ndarray, "n"]]:
    """Rows as one array, and which of them have the right number of numbers."""
    table = np.full((len(rows), *shape), np.nan)
    complete = np.zeros(len(rows), bool)
    for number, row in enumerate(rows):
        try:
            values = np.asarray(row, float)
        except (TypeError, ValueError):
            continue
        if values.size == table[number].size:
            table[number], complete[number] = values.reshape(shape), True
    return table, complete
