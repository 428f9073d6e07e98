"""Records that are passed between packages, with their frames and units.

These conventions hold everywhere: lengths are in metres and angles in radians. The
camera frame has x to the right, y down and z forward. Public rotations are axis-angles.
Pixel centres are at integer coordinates. Both hands share one array axis of size 2,
RIGHT = 0 and LEFT = 1. ``*b`` is any leading batch. The 21 joints are in the canonical
order: wrist, thumb 1-4, index 1-4, middle 1-4, ring 1-4, pinky 1-4, where 4 is the tip.

The *network frame* of a hand is the frame of its crop, in which the left hand is
mirrored, so that both hands are right hands.
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
    """``jax.numpy`` if one of the arrays is JAX's, else ``numpy``."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


class Camera(NamedTuple):
    """A pinhole camera without distortion.

    Attributes:
        focal: focal lengths along x and y, pixels.
        center: principal point, pixels.
    """

    focal: Float[Array, "*b 2"]
    center: Float[Array, "*b 2"]


class ManoParams(NamedTuple):
    """Pose, shape and place of both hands.

    Attributes:
        global_orient: rotation about the wrist, axis-angle.
        hand_pose: rotations of 15 joints relative to the model's mean pose, axis-angle.
        betas: shape coefficients.
        transl: translation in metres, added after posing, so the wrist is at
            ``transl`` plus its rest position.
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
    from the others and are stored because every forward pass needs them.

    Attributes:
        template: vertices of the mean shape at rest, metres.
        shapedirs: shape directions.
        posedirs: pose-dependent corrections.
        joint_regressor: weights that give joints from vertices.
        weights: blend weights of the joints for each vertex.
        pose_mean: mean pose, axis-angle.
        pose_components: principal components of the pose, one in each row.
        faces: vertex indices, outward winding.
        joint_template: the joint regressor applied to the template, metres.
        joint_shapedirs: the joint regressor applied to the shape directions.
        directions: template, shapedirs and posedirs as rows, coordinates before
            vertices.
        name: name of the model, which trained networks are tied to.
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
    """Posed surface and joints of both hands.

    Attributes:
        vertices: vertices, metres.
        joints: joints in the canonical order, metres.
    """

    vertices: Float[Array, "*b 2 778 3"]
    joints: Float[Array, "*b 2 21 3"]


class Cues(NamedTuple):
    """2D information about an image, by the name of the cue (``crops.cue_table``).

    Attributes:
        values: arrays of the cues, in pixels of their picture: ``keypoints`` with x, y
            and score ``*b 2 21 3``; ``segmentation`` ``*b h w`` uint8, 0 background,
            1 right, 2 left; ``depth`` ``*b h w``, relative, 0 near to 1 far over the
            foreground; others as described by their kind.
        present: a flag ``*b`` for each cue in ``values``. A cue whose flag is false
            holds zeros.
    """

    values: dict[str, Array]
    present: dict[str, Bool[Array, "*b"]]

    def has(self, name: str) -> Bool[Array, "*b"]:
        """The flag of a cue; false for a cue that has no array."""
        return self.present.get(name, np.zeros((), bool))

    def put(self, name: str, value: Array, present: Array = True) -> "Cues":
        """A copy with one more cue, or with one replaced."""
        flag = np.asarray(present) if isinstance(present, bool) else present
        return Cues({**self.values, name: value}, {**self.present, name: flag})

    def only(self, names: Iterable[str]) -> "Cues":
        """A copy with only the named cues."""
        kept = [name for name in names if name in self.values]
        return Cues(
            {name: self.values[name] for name in kept},
            {name: self.present[name] for name in kept},
        )


NO_CUES = Cues({}, {})


class Targets(NamedTuple):
    """Labels of both hands, with validity flags.

    The reader gives them in full-image pixels and the camera frame. After
    ``crops.augment`` they are in crop pixels and each hand's network frame, except
    ``rel_trans``, which stays in the camera frame.

    Attributes:
        camera: the picture's camera.
        camera_valid: whether the camera is known.
        box: unexpanded hand boxes, pixels.
        hand_valid: which hands are labelled.
        joints_2d: joints, pixels.
        joints_2d_valid: which of them are labelled.
        joints_3d: joints, metres.
        joints_3d_valid: which of them are labelled.
        mano: parameters of the fitted hand model.
        mano_valid: which hands have a fit.
        rel_trans: left wrist minus right wrist, metres.
        rel_trans_valid: whether it is known.
        interacting: whether the data set calls the picture one of two hands
            (``hand_type``), even if only one of them is labelled.
        doubt: 1 - confidence of each hand's labels; above 0 for pseudo labels only.
            None is 0.
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
    doubt: Float[Array, "*b 2"] | None = None


class Batch(NamedTuple):
    """A batch of records as it is sent to the device.

    Attributes:
        canvas: part of each picture that shows both hands, RGB.
        T_canvas_image: maps full-image pixels to canvas pixels.
        cues: maps in canvas pixels, keypoints in full-image pixels.
        targets: labels in full-image pixels.
        weight: 1 for records, 0 for padding.
        record: number of each record in its set.
    """

    canvas: UInt8[Array, "*b c c 3"]
    T_canvas_image: Float[Array, "*b 2 3"]
    cues: Cues
    targets: Targets
    weight: Float[Array, "*b"]
    record: Int[Array, "*b"]


class CanvasView(NamedTuple):
    """Everything that ``inference.predict`` needs of a picture.

    Attributes:
        canvas: the part of the picture that shows both hands (``crops.canvas``), RGB.
        T_canvas_image: maps picture pixels to canvas pixels.
        cues: maps in canvas pixels, keypoints in picture pixels.
        box: unexpanded hand boxes, picture pixels.
        score: score of each hand, 0 if it is absent.
        camera: the picture's camera.
        angle: rotation of each box about its centre, radians, x towards y, such that
            the fingers point to its upper side (``crops.pointing``). It is used for
            networks with rotated crops only. None for upright boxes.
    """

    canvas: UInt8[Array, "*b c c 3"]
    T_canvas_image: Float[Array, "*b 2 3"]
    cues: Cues
    box: Float[Array, "*b 2 4"]
    score: Float[Array, "*b 2"]
    camera: Camera
    angle: Float[Array, "*b 2"] | None = None


class Inputs(NamedTuple):
    """The network's inputs: a square crop of each hand, and its cues as pictures.

    Attributes:
        image: crops, RGB.
        cues: each cue as pictures; one that is not among them is missing.
        present: for each of ``cues`` whether it is known.
        T_crop_image: maps full-image pixels to crop pixels; mirrors the left hand.
        box: unexpanded hand boxes, full-image pixels. If the crop is rotated, the box
            has to be rotated by the same angle about its centre.
        hand_valid: which hands are there.
        overlap: whether the two boxes intersect.
        features: output of the backbone's frozen stages for ``image`` if it has been
            computed before (``models.hand_landmark``), else None.
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
    """The network's raw estimates, each hand in its network frame.

    Attributes:
        joints_25d: joints in heat-map cells: x and y in the crop, z from the wrist;
            None if the network has no heat maps.
        global_orient_6d: rotation about the wrist, its matrix' first two rows.
        hand_pose_6d: absolute rotations of 15 joints, likewise.
        betas: shape coefficients.
        camera: wrist in the frame of the crop's virtual camera; with ``placed_by``
            "origin" (``CropConfig``) the model's origin instead.
        rel_trans: left wrist minus right wrist in the camera frame, metres; None if
            the network does not estimate it.
    """

    joints_25d: Float[Array, "*b 2 21 3"] | None
    global_orient_6d: Float[Array, "*b 2 6"]
    hand_pose_6d: Float[Array, "*b 2 15 6"]
    betas: Float[Array, "*b 2 10"]
    camera: Float[Array, "*b 2 3"]
    rel_trans: Float[Array, "*b 3"] | None


class Prediction(NamedTuple):
    """Both hands in the picture's camera, ready for metrics, files and refinement.

    Attributes:
        mano: parameters of both hands in the camera frame.
        geometry: their vertices and joints in the camera frame, metres.
        rel_trans: left wrist minus right wrist, metres.
        camera: the picture's camera.
        box: unexpanded hand boxes, pixels.
        score: score of each hand. It is 0 for an absent hand, whose other values then
            mean nothing.
    """

    mano: ManoParams
    geometry: HandGeometry
    rel_trans: Float[Array, "*b 3"]
    camera: Camera
    box: Float[Array, "*b 2 4"]
    score: Float[Array, "*b 2"]


class Mean(NamedTuple):
    """A mean that can be summed over batches, devices and hosts.

    ``+`` adds the fields of two means, unlike that of tuples.

    Attributes:
        total: sum of the values.
        count: number of the values.
    """

    total: Float[Array, "*b"]
    count: Float[Array, "*b"]

    def __add__(self, other: "Mean") -> "Mean":  # type: ignore[override]
        return Mean(self.total + other.total, self.count + other.count)

    def value(self, *, empty: float = math.nan) -> Float[Array, "*b"]:
        """The mean, or ``empty`` where nothing was counted."""
        xp = array_module(self.total, self.count)
        counted = self.count > 0
        return xp.where(counted, self.total / xp.where(counted, self.count, 1), empty)


class NoiseSchedule(NamedTuple):
    """A diffusion's noise schedule, one entry for each timestep.

    Attributes:
        betas: variance of the noise that is added at each timestep.
        alphas_cumprod: cumulative products of 1 - betas.
    """

    betas: Float[Array, "t"]
    alphas_cumprod: Float[Array, "t"]
