"""From pictures and their hands to predictions: the one path through the network."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from twohand_jax import assets
from twohand_jax.crops import canvas, cue_table
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.crops.cue_table import CUE_KINDS
from twohand_jax.crops.inputs import CropConfig, make_inputs
from twohand_jax.crops.predictions import decode
from twohand_jax.diffusion.refine import Refined
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.inference import programs
from twohand_jax.inference.detections import Detections
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.types import (
    NO_CUES,
    NUM_JOINTS,
    Camera,
    CanvasView,
    Cues,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
)
from twohand_jax.weights import native


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        variables: its weights.
        crop: how it wants hands cut out.
        cues: names of the cues that it has encoders for.
        make_apply: gives its function ``(variables, inputs, train=...)``.
        key: text that changes with the function.
    """

    variables: apply.Variables
    crop: CropConfig
    cues: tuple[str, ...]
    make_apply: Callable[[], Callable[..., Any]]
    key: str


def load_network(directory: str | Path | None, *, cache: Path | None = None) -> Trained:
    """The network of a model directory, its weights, and how it wants its crops.

    Args:
        directory: written by ``weights.native.save``; None for the shipped model.
        cache: folder that remembers the shapes of networks; None for none.

    Raises:
        InputError: there is no such model, or its files do not fit together.
    """
    from twohand_jax import experiments
    from twohand_jax.experiments.regressor import RegressorExperiment

    if directory is None and not assets.REGRESSOR.is_dir():
        raise InputError(
            "This installation ships no trained model; give a model directory "
            "(--checkpoint DIR)."
        )
    source = assets.REGRESSOR if directory is None else Path(directory)
    experiment = experiments.parse_as(RegressorExperiment, native.load_config(source))
    network = experiments.network(experiment)
    key = repr(experiment.model)
    variables = native.load(source, _shapes(network, key, cache))
    cues = experiment.model.cues
    return Trained(variables, experiment.crop, cues, lambda: network.apply, key)


def _shapes(network: apply.Network, key: str, cache: Path | None) -> apply.Variables:
    """The network's shapes; building a network only to ask takes a second."""
    path = cache and cache / f"shapes-{programs.fingerprint(key)}.json"
    content = programs.kept(path) if path else None
    if content is None:
        shapes = apply.shapes(network)
        if path:
            lists = jax.tree.map(lambda leaf: list(leaf.shape), shapes._asdict())
            programs.keep(path, json.dumps(lists).encode())
        return shapes

    def struct(shape: list[int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(tuple(shape), jnp.float32)

    known = json.loads(content)
    groups = jax.tree.map(struct, known, is_leaf=lambda node: isinstance(node, list))
    return apply.Variables(**groups)


def predict(
    variables: Variables,
    model: ManoModel,
    view: CanvasView,
    *,
    apply: Callable[..., Any],
    crop: CropConfig,
) -> Prediction:
    """Crops, drawn cues, network and decoding: the one way to a prediction.

    Photographs, evaluation, exported programs, submissions and the comparison of
    refinements all come through here. It can be jitted.

    Args:
        variables: the network's weights.
        model: hand model.
        view: canvases of pictures and what is known of them, any leading batch.
        apply: the network's function.
        crop: how the network wants its crops.
    """
    batch = view.score.shape[:-1]
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(batch) :]), view)
    inputs = make_inputs(
        flat.canvas,
        flat.T_canvas_image,
        flat.cues,
        flat.box,
        flat.score > 0,
        crop=crop,
        angle=flat.angle,
    )
    output, _ = apply(variables, inputs, train=False)
    prediction = decode(output, model, inputs, flat.camera, crop=crop)
    prediction = prediction._replace(score=flat.score)
    return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), prediction)


def lay_out(
    image: UInt8[np.ndarray, "h w 3"],
    detections: Detections,
    cues: Cues,
    camera: Camera,
    *,
    names: Sequence[str],
    config: CanvasConfig,
    fingers_up: bool = False,
) -> CanvasView:
    """A picture on its canvas, as ``predict`` takes it; numpy, no batch axis.

    Args:
        image: the whole picture, RGB.
        detections: its hands, one at least.
        cues: of the whole picture.
        camera: of the picture.
        names: cues that the network has encoders for; others are left out, and those
            that are not there are zeros with their flag cleared.
        config: size and coverage of the canvas.
        fingers_up: whether the network wants turned crops (``CropConfig``).
    """
    height, width = image.shape[:2]
    window = canvas.place_canvas(
        height, width, detections.boxes, detections.present, config=config
    )
    sheet = np.zeros((config.size, config.size, 3), np.uint8)
    canvas.cut_canvas(image, window, sheet, nearest=False)
    laid = NO_CUES
    for name in names:
        shape, dtype = cue_table.shape_of(name, config.size, config.size)
        value, known = np.zeros(shape, dtype), bool(cues.has(name))
        if known and CUE_KINDS[name].is_map:
            canvas.cut_canvas(cues.values[name], window, value, nearest=True)
        elif known:
            value = np.asarray(cues.values[name], dtype)
        laid = laid.put(name, value, known)
    box, angle = detections.turned() if fingers_up else (detections.boxes, None)
    return CanvasView(
        canvas=sheet,
        T_canvas_image=window.T_canvas_image(config.size),
        cues=laid,
        box=box,
        score=detections.score,
        camera=camera,
        angle=angle,
    )


def blank(names: Sequence[str], *, crop: CropConfig) -> CanvasView:
    """A picture of nothing in the shapes of ``lay_out``, to compile for.

    Args:
        names: cues that the network has encoders for.
        crop: how the network wants its crops.
    """
    hands = Detections(
        boxes=np.tile(np.array([0.0, 0.0, 8.0, 8.0], np.float32), (2, 1)),
        keypoints=np.zeros((2, NUM_JOINTS, 3), np.float32),
        score=np.ones(2, np.float32),
    )
    return lay_out(
        np.zeros((8, 8, 3), np.uint8),
        hands,
        NO_CUES,
        cameras.default(8, 8),
        names=names,
        config=crop.canvas(),
        fingers_up=crop.fingers_up,
    )


# One hand pair's prediction in its shapes, all zeros.
EMPTY = Prediction(
    mano=ManoParams(
        global_orient=np.zeros((2, 3), np.float32),
        hand_pose=np.zeros((2, 15, 3), np.float32),
        betas=np.zeros((2, 10), np.float32),
        transl=np.zeros((2, 3), np.float32),
    ),
    geometry=HandGeometry(
        vertices=np.zeros((2, 778, 3), np.float32),
        joints=np.zeros((2, 21, 3), np.float32),
    ),
    rel_trans=np.zeros(3, np.float32),
    camera=Camera(focal=np.zeros(2, np.float32), center=np.zeros(2, np.float32)),
    box=np.zeros((2, 4), np.float32),
    score=np.zeros(2, np.float32),
)
# What the prior returns for it, in its shapes.
NOT_REFINED = Refined(
    prediction=EMPTY,
    status=np.zeros((), np.int32),
    reference=np.zeros((), np.int32),
    depth_before=np.zeros((), np.float32),
    depth_after=np.zeros((), np.float32),
)
