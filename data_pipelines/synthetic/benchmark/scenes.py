"""The scenes of the benchmark, as numbers in a file of the package.

Posing by rejection is no place for a yardstick: one candidate that another machine's
rounding lets through moves every later draw. So the poses and cameras were drawn once
and are kept; what is left to a build is rendering.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8, UInt32

from twohand_jax.pipelines.synthetic.benchmark import check
from twohand_jax.pipelines.synthetic.poses.sampler import KINDS
from twohand_jax.types import Camera, ManoParams

# Everything is a multiple of these, so that it compresses; float16 holds the steps of
# poses and shapes exactly below 4. None moves a fingertip by more than 0.2 mm.
STEPS = {
    "global_orient": 2**-12,
    "hand_pose": 2**-9,
    "betas": 2**-6,
    "transl": 2**-15,
    "focal": 2**-6,
    "center": 2**-6,
}
# Upper ends of the levels: the share of joints that the other hand hides, of the hand
# of which more is hidden.
LEVELS = {"none": 0.0, "up to 25 %": 0.25, "25 to 50 %": 0.5, "above 50 %": 1.0}
NUM_JOINTS = 21


class Scenes(NamedTuple):
    """Both hands and the camera of each record, camera frame, host arrays.

    ``seed`` is of the appearance; ``hidden`` counts a hand's joints behind the other.
    """

    global_orient: Float[np.ndarray, "n 2 3"]
    hand_pose: Float[np.ndarray, "n 2 15 3"]
    betas: Float[np.ndarray, "n 2 10"]
    transl: Float[np.ndarray, "n 2 3"]
    focal: Float[np.ndarray, "n"]
    center: Float[np.ndarray, "n 2"]
    kind: UInt8[np.ndarray, "n"]
    seed: UInt32[np.ndarray, "n"]
    hidden: UInt8[np.ndarray, "n 2"]

    @property
    def params(self) -> ManoParams:
        """The hands' parameters."""
        fields = (self.global_orient, self.hand_pose, self.betas, self.transl)
        return ManoParams(*(value.astype(np.float32) for value in fields))

    @property
    def camera(self) -> Camera:
        """The cameras, pixels."""
        return Camera(np.repeat(self.focal[:, None], 2, axis=1), self.center)

    def rows(self, chosen: slice | np.ndarray) -> "Scenes":
        """Some of the scenes."""
        return Scenes(*(value[chosen] for value in self))


def on_grid(scenes: Scenes) -> Scenes:
    """The scenes that the file holds exactly."""
    rounded = {
        name: (np.round(getattr(scenes, name) / step) * step).astype(np.float32)
        for name, step in STEPS.items()
    }
    return scenes._replace(**rounded)


def counts(scenes: Scenes) -> dict[str, dict[str, int]]:
    """How many records there are of each kind and level of occlusion."""
    share = scenes.hidden.max(axis=-1) / NUM_JOINTS
    level = np.searchsorted(list(LEVELS.values()), share)
    return {
        KINDS[kind]: {
            name: int(((scenes.kind == kind) & (level == number)).sum())
            for number, name in enumerate(LEVELS)
        }
        for kind in np.unique(scenes.kind)
    }


def save(path: Path, scenes: Scenes) -> None:
    """Write the file that ``load`` reads."""
    small = {"hand_pose": np.float16, "betas": np.float16}
    columns = scenes._asdict().items()
    check.save_arrays(path, {k: v.astype(small.get(k, v.dtype)) for k, v in columns})


def load(path: Path) -> Scenes:
    """Read the scenes."""
    return Scenes(**check.load_arrays(path, Scenes._fields))
