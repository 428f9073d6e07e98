"""Estimates in the files that benchmark servers take (``protocols.single_hand``)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax import files
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation import methods, protocols
from twohand_jax.mano.joint_set import JointSet
from twohand_jax.mano.joints import WRIST
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import RIGHT, Batch, ManoModel

DECIMALS = 6  # micrometres


class Estimates(NamedTuple):
    """Right hands of the pictures in ``image_ids``, camera frame, metres."""

    image_ids: tuple[str, ...]
    joints: Float[np.ndarray, "n 21 3"]
    vertices: Float[np.ndarray, "n 778 3"]


def estimate(
    network: Network,
    variables: Variables,
    batches: Iterable[Batch],
    image_ids: Mapping[int, str],
    model: ManoModel,
    *,
    crop: CropConfig,
    benchmark: str,
) -> Estimates:
    """The right hand of every record.

    Args:
        network: pure functions of the regressor.
        variables: its weights.
        batches: every record once.
        image_ids: name of each record by its number in the split.
        model: hand model.
        crop: how hands are cut out.
        benchmark: name of a protocol with a server, such as ``freihand``.

    Raises:
        InputError: an estimate is not a finite number.
    """
    server, joint_set = protocols.server(benchmark), protocols.get(benchmark).joints
    one = _right_hands(network, crop, joint_set, server.wrist_given)
    names: list[str] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches:
        rows = np.asarray(batch.weight) > 0
        names += [image_ids[int(number)] for number in np.asarray(batch.record)[rows]]
        found = jax.device_get(one(variables, batch, model))
        parts.append((found[0][rows], found[1][rows]))
    joints, vertices = (np.concatenate(part) for part in zip(*parts, strict=True))
    fine = np.isfinite(joints).all((1, 2)) & np.isfinite(vertices).all((1, 2))
    if not fine.all():
        raise InputError(
            f"The estimate of {names[int(np.argmin(fine))]} holds NaN or infinity, and "
            f"{int((~fine).sum())} of {len(fine)} do: the model's weights are damaged."
        )
    return Estimates(tuple(names), joints, vertices)


def image_ids(rows: Iterable[Rows]) -> dict[int, str]:
    """Name of every usable record by its number in the split."""
    names = {}
    for part in rows:
        for row in np.flatnonzero(part.usable):
            names[int(part.records[row])] = part.fields["image_id"][row].decode()
    return names


def write(
    path: Path, estimates: Estimates, order: Sequence[str], *, benchmark: str
) -> None:
    """Write ``pred.json``, complete or not at all.

    Args:
        path: the file; servers expect it zipped under the name ``pred.json``.
        estimates: of at least the pictures in ``order``.
        order: names in the official order.
        benchmark: name of a protocol with a server.

    Raises:
        InputError: a picture of the order has no estimate.
    """
    rows = {name: row for row, name in enumerate(estimates.image_ids)}
    missing = [name for name in order if name not in rows]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(order)} pictures the {benchmark} server wants "
            f"have no estimate, the first is {missing[0]}: build the split again and "
            "look at its rejections."
        )
    chosen = np.array([rows[name] for name in order], int)
    points = estimates.joints[chosen], estimates.vertices[chosen]
    joints, vertices = protocols.server(benchmark).convert(points)
    files.write_bytes(path, (piece.encode() for piece in _json(joints, vertices)))


def _json(*columns: Float[np.ndarray, "n p 3"]) -> Iterator[str]:
    """Nested lists a sample at a time: whole, the text would be a gigabyte of HO-3D."""
    for number, points in enumerate(columns):
        yield "[[" if number == 0 else ", ["
        for row, sample in enumerate(points):
            yield ", " if row else ""
            yield json.dumps(np.round(sample.astype(float), DECIMALS).tolist())
        yield "]"
    yield "]"


def _right_hands(
    network: Network, crop: CropConfig, joint_set: JointSet, given: bool
) -> Callable[[Variables, Batch, ManoModel], tuple[Array, Array]]:
    """Joints and vertices of right hands, laid on the true wrist where it is given."""
    estimate = methods.estimator(network, crop=crop)

    @jax.jit
    def compute(
        variables: Variables, batch: Batch, model: ManoModel
    ) -> tuple[Array, Array]:
        prediction = estimate(variables, batch, model, NAMES)
        protocols.check_shapes(prediction)
        joints = joint_set.of(model, prediction.geometry)[..., RIGHT, :, :]
        vertices = prediction.geometry.vertices[..., RIGHT, :, :]
        if given:
            return laid_on(
                joints,
                vertices,
                batch.targets.joints_3d[..., RIGHT, WRIST, :],
                batch.targets.joints_3d_valid[..., RIGHT, WRIST],
            )
        return joints, vertices

    return compute


def laid_on(
    joints: Float[Array, "*b 21 3"],
    vertices: Float[Array, "*b 778 3"],
    wrist: Float[Array, "*b 3"],
    valid: Bool[Array, "*b"],
) -> tuple[Float[Array, "*b 21 3"], Float[Array, "*b 778 3"]]:
    """The hand moved so that its wrist lies where it is known to be."""
    offset = jnp.where(valid[..., None], wrist - joints[..., WRIST, :], 0.0)
    return joints + offset[..., None, :], vertices + offset[..., None, :]
