"""What holds for the records of every dataset, whatever its layout."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from twohand_jax.data import shards
from twohand_jax.mano.joint_set import JointSet
from twohand_jax.pipelines import fits, writer
from twohand_jax.pipelines.labelled import (
    Dataset,
    LabelledSource,
    Rejection,
    ShardConfig,
    record,
)
from twohand_jax.pipelines.shard_file import read_record
from twohand_jax.types import ManoModel, ManoParams

Record = dict[str, np.ndarray]


def written(dataset: Dataset, out: Path) -> dict[str, Record]:
    """Write a dataset and read its records back, by picture."""
    source = LabelledSource(dataset, ShardConfig(shard_size=3))
    writer.write(source, out, workers=0, progress=False)
    found = {}
    for shard in sorted(out.glob("*.tfrecord*")):
        for frame in shards.frames(shard.read_bytes()):
            example = read_record(frame.payload)
            found[example["image_id"]] = example
    return found


def first(dataset: Dataset, split: str, number: int = 0) -> Record:
    """One record, not written."""
    (sample,) = dataset.samples(split, [number])
    assert not isinstance(sample, Rejection), sample
    return record(sample, dataset=dataset.name, hand_model=dataset.hand_model)


def rejection(dataset: Dataset, split: str, number: int = 0) -> str:
    """The reason why a sample is left out, by the reader or by the record."""
    source = LabelledSource(dataset, ShardConfig(shard_size=1))
    order = np.random.default_rng(0).permutation(dataset.counts()[split]).tolist()
    (found,) = source.examples(split, order.index(number))
    assert isinstance(found, Rejection), found["image_id"]
    return found.reason


def reprojection_error(example: Record) -> float:
    """Largest distance of a projected 3D joint from its 2D joint, pixels."""
    both = example["hands/joints_3d_valid"] & example["hands/joints_2d_valid"]
    assert both.any()
    joints = example["hands/joints_3d"][both].astype(float)
    plane = joints[:, :2] / joints[:, 2:]
    px = plane * example["camera/focal"] + example["camera/center"]
    return float(np.abs(px - example["hands/joints_2d"][both]).max())


def posed_error(model: ManoModel, example: Record, joint_set: JointSet) -> float:
    """Largest distance of a posed joint from the stored one, metres."""
    fitted = example["mano/valid"].astype(bool)
    assert fitted.any()
    params = ManoParams(
        *(jnp.asarray(example[f"mano/{name}"]) for name in ManoParams._fields)
    )
    joints = np.asarray(fits.joints(model, params, joint_set))
    off = joints - example["hands/joints_3d"]
    return float(np.linalg.norm(off[fitted], axis=-1).max())
