"""Labels of a whole split without its pictures, to hold predictions against."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax.data.decode import Rows


class SplitLabels(NamedTuple):
    """What every usable record of a split says about its hands; metres."""

    record: Int[np.ndarray, "n"]
    image_id: tuple[str, ...]
    joints: Float[np.ndarray, "n 2 21 3"]
    valid: Bool[np.ndarray, "n 2 21"]

    def image_ids(self) -> dict[int, str]:
        """Name of each record by its number in the split."""
        return dict(zip(self.record.tolist(), self.image_id, strict=True))


def of_rows(rows: Iterable[Rows]) -> SplitLabels:
    """Labels of parsed records (``Reader.rows``)."""
    records, names, joints, valid = [], [], [], []
    for part in rows:
        usable = np.flatnonzero(part.usable)
        fields = part.fields
        hands = fields["hands/valid"][usable].astype(bool)
        records.append(part.records[usable])
        names += [name.decode() for name in fields["image_id"][usable]]
        joints.append(fields["hands/joints_3d"][usable])
        known = fields["hands/joints_3d_valid"][usable].astype(bool)
        valid.append(known & hands[..., None])
    return SplitLabels(
        record=np.concatenate(records),
        image_id=tuple(names),
        joints=np.concatenate(joints),
        valid=np.concatenate(valid),
    )
