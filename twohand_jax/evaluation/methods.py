"""The rows of a table: the regressor with more and more cues, then with the prior.

The labels themselves can be one more row, for comparison.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from twohand_jax import mano
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig, hand_angles, hand_boxes
from twohand_jax.diffusion import labelled_area, visible_area
from twohand_jax.evaluation.evaluator import Method
from twohand_jax.inference.predict import predict
from twohand_jax.inference.prior import Prior
from twohand_jax.inference.refinement import refine
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import (
    Array,
    Batch,
    CanvasView,
    Cues,
    ManoModel,
    Prediction,
)

# The rows of the ablation: each shows its cue and all that come before it.
CUE_SETS: dict[str, tuple[str, ...]] = {
    "image": (),
    **{f"+ {name}": NAMES[: k + 1] for k, name in enumerate(NAMES)},
}
DIFFUSION = "+ diffusion"
LABELS = "labels"
# Weights, batch, hand model and the names of the cues that may be looked at.
Estimate = Callable[[Variables, Batch, ManoModel, Sequence[str]], Prediction]


def trained_rows(
    cues: Sequence[str], dropout: Mapping[str, float]
) -> dict[str, tuple[str, ...]]:
    """The cue sets that a network has met while it was trained.

    Args:
        cues: those it has encoders for.
        dropout: share of training samples without each of them; at 0 the network never
            learned to do without, and its estimates then mean nothing.
    """
    return {
        row: shown
        for row, shown in CUE_SETS.items()
        if set(shown) <= set(cues)
        and all(dropout.get(name, 0.0) > 0 for name in cues if name not in shown)
    }


def estimator(network: Network, *, crop: CropConfig) -> Estimate:
    """A function from weights, batch, hand model and cues to a batch of estimates.

    It is compiled once for all sets of cues.

    Args:
        network: pure functions of the regressor.
        crop: how hands are cut out.
    """

    @jax.jit
    def estimate(
        variables: Variables, batch: Batch, model: ManoModel, shown: dict[str, Array]
    ) -> Prediction:
        view = view_of(batch, crop=crop)
        present = {name: flag & shown[name] for name, flag in view.cues.present.items()}
        view = view._replace(cues=view.cues._replace(present=present))
        return predict(variables, model, view, apply=network.apply, crop=crop)

    def chosen(
        variables: Variables, batch: Batch, model: ManoModel, cues: Sequence[str]
    ) -> Prediction:
        shown = {name: np.asarray(name in cues) for name in batch.cues.present}
        return estimate(variables, batch, model, shown)

    return chosen


def view_of(batch: Batch, *, crop: CropConfig) -> CanvasView:
    """The records of a batch as ``predict`` takes pictures: in their labels' boxes.

    Boxes turn by the records' keypoints, which a detector would find as well, whether
    or not the network is then shown them.
    """
    angle = hand_angles(batch.targets, batch.cues, crop=crop)
    return CanvasView(
        canvas=batch.canvas,
        T_canvas_image=batch.T_canvas_image,
        cues=batch.cues,
        box=hand_boxes(batch.targets, crop=crop, angle=angle),
        score=batch.targets.hand_valid.astype(jnp.float32),
        camera=batch.targets.camera,
        angle=angle,
    )


def cue_methods(
    estimate: Estimate,
    variables: Variables,
    model: ManoModel,
    *,
    cue_sets: Mapping[str, tuple[str, ...]] = CUE_SETS,
) -> dict[str, Method]:
    """One method for each set of cues; weights go to the devices once.

    Args:
        estimate: from ``estimator``.
        variables: the network's weights.
        model: hand model.
        cue_sets: names of the cues of each row, by the row's name.
    """
    weights = jax.device_put(variables, everywhere(local_mesh()))
    hands = jax.device_put(model, everywhere(local_mesh()))

    def method(shown: tuple[str, ...]) -> Method:
        return lambda batch: estimate(weights, batch, hands, shown)

    return {row: method(shown) for row, shown in cue_sets.items()}


def refined(method: Method, prior: Prior) -> Method:
    """A method's estimates, refined with the two-hand prior.

    The hand with the larger visible area stays; the area comes from the segmentation
    if a record has one. Keypoints only decide between equal areas; they do not hold a
    hand in place.
    """

    def refine_batch(batch: Batch) -> Prediction:
        prediction = jax.device_get(method(batch))
        keypoints = batch.cues.values.get("keypoints")
        area = visible(prior.model, prediction, batch.cues)
        return refine(prior, prediction, keypoints=keypoints, visible=area).prediction

    return refine_batch


def visible(
    model: ManoModel, prediction: Prediction, cues: Cues
) -> Float[Array, "*b 2"]:
    """Visible area of each hand: in the segmentation, else of the meshes."""
    return _visible(model, prediction, cues.only(["segmentation"]))


@jax.jit
def _visible(
    model: ManoModel, prediction: Prediction, cues: Cues
) -> Float[Array, "*b 2"]:
    labelled = None
    if "segmentation" in cues.values:
        shown = cues.has("segmentation")
        labelled = labelled_area(cues.values["segmentation"], shown)
    return visible_area(model, prediction, labelled)


def labels(model: ManoModel) -> Method:
    """The records' own fits as estimates; hands without a fit count as not found.

    If a protocol compares with the dataset's own joints, the error is that of the
    fits, and no method that learned from them can be expected to have a smaller one.
    Their contact is that of true hands.

    Args:
        model: hand model that poses the fits.
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
