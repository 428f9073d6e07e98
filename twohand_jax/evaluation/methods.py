"""The rows of a table: the regressor with more and more of its cues, and the prior.

Beside them the labels themselves, to read the others by.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool

from twohand_jax import mano
from twohand_jax.crops.augment import prepare
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.crops.predictions import decode
from twohand_jax.evaluation.evaluator import Method
from twohand_jax.inference.prior import Prior
from twohand_jax.inference.refinement import refine
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import Array, Batch, ManoModel, Prediction

# Which cues the network may look at: keypoints, segmentation, depth.
CUE_SETS = {
    "image": (False, False, False),
    "+ keypoints": (True, False, False),
    "+ segmentation": (True, True, False),
    "+ depth": (True, True, True),
}
ALL_CUES = (True, True, True)
DIFFUSION = "+ diffusion"
LABELS = "labels"
Cues = Bool[Array, "3"] | tuple[bool, bool, bool]
Estimate = Callable[[Variables, Batch, ManoModel, Cues], Prediction]


def trained_rows(
    cues: tuple[bool, bool, bool], dropout: tuple[float, float, float]
) -> dict[str, tuple[bool, bool, bool]]:
    """The cue sets that a network has met while it was trained.

    Args:
        cues: which of keypoints, segmentation and depth it has encoders for.
        dropout: share of training samples without each of them; at 0 the network never
            learned to do without, and its estimates then mean nothing.
    """
    return {
        name: flags
        for name, flags in CUE_SETS.items()
        if all(
            own if shown else not own or share > 0
            for shown, own, share in zip(flags, cues, dropout, strict=True)
        )
    }


def estimator(network: Network, *, crop: CropConfig, relative: bool = True) -> Estimate:
    """Estimates of a batch as a jitted function of weights, batch, model and cues.

    Args:
        network: pure functions of the regressor.
        crop: how hands are cut out.
        relative: whether the network estimates the relative translation.
    """

    @jax.jit
    def estimate(
        variables: Variables, batch: Batch, model: ManoModel, cues: Cues
    ) -> Prediction:
        inputs, _ = prepare(batch, crop=crop)
        inputs = inputs._replace(present=inputs.present & jnp.asarray(cues))
        output, _ = network.apply(variables, inputs, train=False)
        camera = batch.targets.camera
        return decode(output, model, inputs, camera, crop=crop, relative=relative)

    return estimate


def cue_methods(
    estimate: Estimate,
    variables: Variables,
    model: ManoModel,
    *,
    cue_sets: Mapping[str, tuple[bool, bool, bool]] = CUE_SETS,
) -> dict[str, Method]:
    """One method for each set of cues; weights go to the devices once.

    Args:
        estimate: from ``estimator``.
        variables: the network's weights.
        model: hand model.
        cue_sets: cue flags by name.
    """
    weights = jax.device_put(variables, everywhere(local_mesh()))
    hands = jax.device_put(model, everywhere(local_mesh()))

    def method(flags: tuple[bool, bool, bool]) -> Method:
        return lambda batch: estimate(weights, batch, hands, flags)

    return {name: method(flags) for name, flags in cue_sets.items()}


def refined(method: Method, prior: Prior) -> Method:
    """A method's estimates after refinement with the two-hand prior.

    Keypoints only tell which hand is seen better; they do not hold it in place.
    """

    def refine_batch(batch: Batch) -> Prediction:
        prediction = jax.device_get(method(batch))
        keypoints = jnp.asarray(batch.cues.keypoints)
        return refine(prior, prediction, keypoints=keypoints).prediction

    return refine_batch


def labels(model: ManoModel) -> Method:
    """The records' own fits as estimates; hands without one are not found.

    Where a protocol compares with the dataset's own joints, their error is that of the
    fits, and no method that learned from these is expected below it. Their contact is
    that of true hands.

    Args:
        model: poses the fits.
    """
    pose = jax.jit(mano.forward)

    def method(batch: Batch) -> Prediction:
        targets = batch.targets
        return Prediction(
            mano=targets.mano,
            geometry=pose(model, targets.mano),
            rel_trans=targets.rel_trans,
            camera=targets.camera,
            box=targets.box,
            score=(targets.mano_valid & targets.hand_valid).astype(jnp.float32),
        )

    return method


def local_mesh() -> Mesh:
    """This process's devices in a row."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
    )


def everywhere(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def spread(batch: Batch) -> Batch:
    """A host batch on this process's devices, its rows divided among them."""
    return jax.device_put(batch, NamedSharding(local_mesh(), PartitionSpec("data")))
