"""Every record that crosses a package border, with its frames and units.

Conventions, said once: metres and radians; camera frame x right, y down, z forward;
rotations are axis-angle at the borders; pixel centres lie at integer coordinates.
Both hands share one array axis of size 2, RIGHT = 0 and LEFT = 1. ``*b`` is any
leading batch. The 21 joints are in the canonical order: wrist, thumb 1-4, index 1-4,
middle 1-4, ring 1-4, pinky 1-4, where 4 is the tip.

The *network frame* of a hand is the frame of its crop after the left hand's crop was
mirrored: there both hands are right hands.
"""

import dataclasses
import math
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

if TYPE_CHECKING:
    # Records are filled with numpy arrays on the host and JAX arrays on the device.
    Array: TypeAlias = Any
else:
    from jaxtyping import Array

RIGHT, LEFT = 0, 1
SIDES = ("right", "left")
NUM_VERTICES = 778
NUM_FACES = 1538
NUM_JOINTS = 21


def array_module(*arrays: Array) -> ModuleType:
    """``jax.numpy`` where one of the arrays is JAX's, else ``numpy``."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


class Camera(NamedTuple):
    """A pinhole camera without distortion, in pixels."""

    focal: Float[Array, "*b 2"]
    center: Float[Array, "*b 2"]


class ManoParams(NamedTuple):
    """Pose, shape and place of both hands.

    ``hand_pose`` is relative to the model's mean pose, ``transl`` is in metres and is
    added after posing, so the wrist lies at ``transl`` plus its rest position.
    """

    global_orient: Float[Array, "*b 2 3"]
    hand_pose: Float[Array, "*b 2 15 3"]
    betas: Float[Array, "*b 2 10"]
    transl: Float[Array, "*b 2 3"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ManoModel:
    """The arrays of a two-hand model in MANO's layout (Romero et al., 2017).

    The joint tree is a constant (``mano.joints.PARENTS``). The last three arrays follow
    from the others and are kept because every forward pass needs them:
    ``joint_template`` and ``joint_shapedirs`` are the joint regressor applied to
    template and shape directions; ``directions`` holds template, shapedirs and posedirs
    as rows, coordinates before vertices.
    """

    template: Float[Array, "2 778 3"]
    shapedirs: Float[Array, "2 778 3 10"]
    posedirs: Float[Array, "2 778 3 135"]
    joint_regressor: Float[Array, "2 16 778"]
    weights: Float[Array, "2 778 16"]
    pose_mean: Float[Array, "2 15 3"]
    pose_components: Float[Array, "2 45 45"]
    faces: Int[Array, "2 1538 3"]
    joint_template: Float[Array, "2 16 3"]
    joint_shapedirs: Float[Array, "2 16 3 10"]
    directions: Float[Array, "2 146 2334"]
    name: str = dataclasses.field(metadata={"static": True})


class HandGeometry(NamedTuple):
    """Posed surface and joints of both hands, metres."""

    vertices: Float[Array, "*b 2 778 3"]
    joints: Float[Array, "*b 2 21 3"]


class Cues(NamedTuple):
    """2D information about an image, by the name of the cue (``crops.cue_table``).

    Attributes:
        values: each cue in the pixels of the picture it belongs to: ``keypoints`` x, y
            and score ``*b 2 21 3``; ``segmentation`` ``*b h w`` uint8, 0 background,
            1 right, 2 left; ``depth`` ``*b h w``, relative, 0 near to 1 far over the
            foreground; further ones as their kind says.
        present: a flag ``*b`` for each; a cue whose flag is false holds zeros. A cue
            with neither is not there at all.
    """

    values: dict[str, Array]
    present: dict[str, Bool[Array, "*b"]]

    def has(self, name: str) -> Bool[Array, "*b"]:
        """The flag of a cue; false for one that is not there at all."""
        return self.present.get(name, np.zeros((), bool))

    def put(self, name: str, value: Array, present: Array = True) -> "Cues":
        """These cues and another one, or one in another's place."""
        flag = np.asarray(present) if isinstance(present, bool) else present
        return Cues({**self.values, name: value}, {**self.present, name: flag})

    def only(self, names: Iterable[str]) -> "Cues":
        """Those of these cues that are named."""
        kept = [name for name in names if name in self.values]
        return Cues(
            {name: self.values[name] for name in kept},
            {name: self.present[name] for name in kept},
        )


NO_CUES = Cues({}, {})


class Targets(NamedTuple):
    """Labels of both hands with a validity flag for each.

    From the reader: full-image pixels and camera frame. After ``crops.augment``: crop
    pixels and the network frame of each hand (``rel_trans`` keeps the camera frame).
    ``interacting`` is what the data set says of the picture (``hand_type``), whether or
    not both of its hands are labelled.
    """

    camera: Camera
    camera_valid: Bool[Array, "*b"]
    box: Float[Array, "*b 2 4"]
    hand_valid: Bool[Array, "*b 2"]
    joints_2d: Float[Array, "*b 2 21 2"]
    joints_2d_valid: Bool[Array, "*b 2 21"]
    joints_3d: Float[Array, "*b 2 21 3"]
    joints_3d_valid: Bool[Array, "*b 2 21"]
    mano: ManoParams
    mano_valid: Bool[Array, "*b 2"]
    rel_trans: Float[Array, "*b 3"]
    rel_trans_valid: Bool[Array, "*b"]
    interacting: Bool[Array, "*b"]


class Batch(NamedTuple):
    """What the host hands to the device: one canvas per record and its labels.

    ``T_canvas_image`` maps full-image pixels to canvas pixels; the cues' maps live on
    the canvas, the keypoints in full-image pixels. ``weight`` is 0 for padding.
    """

    canvas: UInt8[Array, "*b c c 3"]
    T_canvas_image: Float[Array, "*b 2 3"]
    cues: Cues
    targets: Targets
    weight: Float[Array, "*b"]
    record: Int[Array, "*b"]


class CanvasView(NamedTuple):
    """What is known of a picture when the network is asked (``inference.predict``).

    Attributes:
        canvas: the part of the picture that shows both hands (``crops.canvas``).
        T_canvas_image: pixels of the picture to pixels of the canvas.
        cues: maps on the canvas, keypoints in pixels of the picture.
        box: unexpanded hand boxes, pixels of the picture.
        score: of each hand, 0 for one that is not there.
        camera: of the picture.
        angle: radians by which each box is turned about its centre, x towards y, so
            that its fingers point to its upper side (``crops.pointing``); only looked
            at for networks that want turned crops. None for upright boxes.
    """

    canvas: UInt8[Array, "*b c c 3"]
    T_canvas_image: Float[Array, "*b 2 3"]
    cues: Cues
    box: Float[Array, "*b 2 4"]
    score: Float[Array, "*b 2"]
    camera: Camera
    angle: Float[Array, "*b 2"] | None = None


class Inputs(NamedTuple):
    """What the network sees: per hand a square crop and its drawn cues.

    ``cues`` holds a picture ``*b 2 s s 3`` and ``present`` a flag ``*b`` for each cue.
    ``T_crop_image`` includes the left hand's mirroring; ``box`` is the unexpanded hand
    box in full-image pixels, of a turned crop to be turned as much about its centre;
    ``overlap`` says whether the two boxes intersect. ``features`` are what the frozen
    stages of the picture's backbone say of ``image``, where another run of these has
    made them already (``models.hand_landmark``).
    """

    image: Float[Array, "*b 2 s s 3"]
    cues: dict[str, Float[Array, "*b 2 s s 3"]]
    present: dict[str, Bool[Array, "*b"]]
    T_crop_image: Float[Array, "*b 2 2 3"]
    box: Float[Array, "*b 2 4"]
    hand_valid: Bool[Array, "*b 2"]
    overlap: Bool[Array, "*b"]
    features: Float[Array, "*b 2 i j c"] | None = None


class Output(NamedTuple):
    """Raw estimates of the network, each hand in its network frame.

    ``joints_25d`` is in heat-map cells (x, y of the crop, z relative to the wrist);
    rotations are 6D (two rows); ``camera`` is the wrist's place in the crop's virtual
    camera; ``rel_trans`` is left wrist minus right wrist in the camera frame, metres,
    and None of a network that does not estimate it.
    """

    joints_25d: Float[Array, "*b 2 21 3"]
    global_orient_6d: Float[Array, "*b 2 6"]
    hand_pose_6d: Float[Array, "*b 2 15 6"]
    betas: Float[Array, "*b 2 10"]
    camera: Float[Array, "*b 2 3"]
    rel_trans: Float[Array, "*b 3"] | None


class Prediction(NamedTuple):
    """Both hands in the picture's camera, ready for metrics, files and refinement.

    ``score`` is 0 for a hand that is not there; its other fields are then meaningless.
    """

    mano: ManoParams
    geometry: HandGeometry
    rel_trans: Float[Array, "*b 3"]
    camera: Camera
    box: Float[Array, "*b 2 4"]
    score: Float[Array, "*b 2"]


class Mean(NamedTuple):
    """A mean that can be summed over batches, devices and hosts.

    A sum adds fields; the tuple's own joining of two would be of no use here.
    """

    total: Float[Array, "*b"]
    count: Float[Array, "*b"]

    def __add__(self, other: "Mean") -> "Mean":  # type: ignore[override]
        return Mean(self.total + other.total, self.count + other.count)

    def value(self, *, empty: float = math.nan) -> Float[Array, "*b"]:
        """The mean itself, ``empty`` where nothing was counted."""
        xp = array_module(self.total, self.count)
        counted = self.count > 0
        return xp.where(counted, self.total / xp.where(counted, self.count, 1), empty)


class NoiseSchedule(NamedTuple):
    """Cumulative products of a diffusion's noise schedule, one entry a timestep."""

    betas: Float[Array, "t"]
    alphas_cumprod: Float[Array, "t"]
