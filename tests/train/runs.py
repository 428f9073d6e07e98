"""``twohand train`` at its smallest: sets and settings that train in seconds."""

from pathlib import Path

import numpy as np

from twohand_jax import mano
from twohand_jax.data import poses
from twohand_jax.types import ManoParams

ROOT = Path(__file__).parents[2]
# Of configs/prior.py: needs no pictures and so no TensorFlow.
SMALL_PRIOR = {
    "model.width": 16,
    "model.residual_blocks": 1,
    "model.embedding": 8,
    "optim.warmup_steps": 0,
    "train.batch_size": 8,
}
# Of configs/tiny.py: one cue, two stages instead of four, crops of 32 pixels.
SMALL_REGRESSOR = {
    "model.image.depths": (1, 1),
    "model.image.last_stride": 2,
    "model.cue.depths": (1, 1),
    "model.cue.last_stride": 2,
    "model.cues": ("keypoints",),
    "model.transnet": None,
    "model.crop_size": 32,
    "crop.crop_size": 32,
    "data.canvas_size": 64,
}


def pose_set(folder: Path, *, train: int = 24, test: int = 8) -> Path:
    """A pose set of random hands."""
    sizes = {"train": (train,), "test": (test,)}
    info = poses.PoseSetInfo(model=mano.load().name, splits=sizes, settings={})
    poses.begin(folder, info)
    rng = np.random.default_rng(0)
    for split, (count,) in sizes.items():
        hands = ManoParams(
            global_orient=rng.normal(0, 1.0, (count, 2, 3)),
            hand_pose=rng.normal(0, 0.2, (count, 2, 15, 3)),
            betas=rng.normal(size=(count, 2, 10)),
            transl=rng.normal(0, 0.1, (count, 2, 3)) + [0.0, 0.0, 0.6],
        )
        poses.write_shard(folder, split, 0, hands)
    return folder


def arguments(config: str, workdir: Path, data: Path, **changes: object) -> list[str]:
    """The words after ``twohand``.

    Args:
        config: "prior" or "tiny"; made small.
        workdir: of the run.
        data: of training and evaluation.
        changes: of the config, with ``__`` for the dot.
    """
    small = SMALL_PRIOR if config == "prior" else SMALL_REGRESSOR
    both = {"data.train": str(data), "data.test": str(data)}
    named = {name.replace("__", "."): value for name, value in changes.items()}
    words = ["train", "--config", str(ROOT / "configs" / f"{config}.py")]
    words += ["--workdir", str(workdir)]
    for name, value in (small | both | named).items():
        words += ["--set", f"{name}={value!r}"]
    return words
