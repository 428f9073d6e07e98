"""From a rendered pair of hands to a record."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.synthetic import keypoint_noise, map_noise
from data_pipelines.synthetic.config import VERSION, SyntheticConfig
from twohand_jax.data import images, schema
from twohand_jax.types import LEFT, RIGHT, Camera, ManoParams

if TYPE_CHECKING:
    # The readers of real datasets use this module too, and need no renderer.
    from data_pipelines.synthetic.render.renderer import Rendering

BOX_SCALE = 1.2
WRIST = 0
# A joint lies inside of the flesh; what is this much nearer to the camera hides it.
HIDDEN_BEHIND_M = 0.022
HAND_TYPES = {
    (True, True): "interacting",
    (True, False): "right",
    (False, True): "left",
}


class Sample(NamedTuple):
    """Both hands of one picture, numpy, without a batch axis; camera frame."""

    params: ManoParams
    joints: Float[np.ndarray, "2 21 3"]
    vertices: Float[np.ndarray, "2 778 3"]
    camera: Camera
    shown: Bool[np.ndarray, "2"]
    kind: str
    model: str


def record(
    rng: np.random.Generator,
    sample: Sample,
    rendering: "Rendering",
    image_id: str,
    *,
    config: SyntheticConfig,
) -> dict[str, object]:
    """The flat example of a picture (``schema.FEATURES``)."""
    joints_px = project(sample.joints, sample.camera)
    box = hand_boxes(joints_px) * sample.shown[:, None]
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "image": images.encode_jpeg(rendering.image, quality=config.jpeg_quality),
        "image_id": image_id,
        "dataset": "synthetic",
        "subset": sample.kind,
        "hand_type": HAND_TYPES[bool(sample.shown[RIGHT]), bool(sample.shown[LEFT])],
        "height": config.size,
        "width": config.size,
        "camera/focal": np.asarray(sample.camera.focal, np.float32),
        "camera/center": np.asarray(sample.camera.center, np.float32),
        "camera/valid": True,
        "hands/valid": sample.shown,
        "hands/box": box.astype(np.float32),
        **_geometry(sample, joints_px),
        **_cues(rng, sample, rendering, joints_px, box, config),
    }


def project(
    points: Float[np.ndarray, "*b 3"], camera: Camera
) -> Float[np.ndarray, "*b 2"]:
    """Pixels of points in the camera frame."""
    plane = points[..., :2] / np.maximum(points[..., 2:], 1e-3)
    return plane * np.asarray(camera.focal) + np.asarray(camera.center)


def joints_inside(
    joints_px: Float[np.ndarray, "2 21 2"], size: int
) -> Int[np.ndarray, "2"]:
    """How many joints of each hand lie in a square picture."""
    inside = ((joints_px >= 0) & (joints_px <= size - 1)).all(axis=-1)
    return inside.sum(axis=-1)


def hand_boxes(joints_px: Float[np.ndarray, "2 21 2"]) -> Float[np.ndarray, "2 4"]:
    """1.2 times the tight box of the joints (METHOD: training boxes)."""
    low, high = joints_px.min(axis=-2), joints_px.max(axis=-2)
    middle, half = (low + high) / 2, (high - low) / 2 * BOX_SCALE
    return np.concatenate([middle - half, middle + half], axis=-1)


def hidden_joints(
    joints: Float[np.ndarray, "2 21 3"],
    joints_px: Float[np.ndarray, "2 21 2"],
    depth_m: Float[np.ndarray, "h w"],
) -> Bool[np.ndarray, "2 21"]:
    """Joints that something in front of them hides, or that lie outside."""
    height, width = depth_m.shape
    column, row = np.rint(joints_px).astype(int).transpose(2, 0, 1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    front = depth_m[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    behind = (front > 0) & (joints[..., 2] - front > HIDDEN_BEHIND_M)
    return behind | ~inside


def _geometry(
    sample: Sample, joints_px: Float[np.ndarray, "2 21 2"]
) -> dict[str, object]:
    shown = sample.shown
    per_joint = np.repeat(shown[:, None], joints_px.shape[1], axis=1)

    def kept(array: np.ndarray) -> np.ndarray:
        mask = shown.reshape(2, *(1,) * (array.ndim - 1))
        return np.where(mask, array, 0.0).astype(np.float32)

    both = bool(shown.all())
    rel_trans = sample.joints[LEFT, WRIST] - sample.joints[RIGHT, WRIST]
    return {
        "hands/joints_2d": kept(joints_px),
        "hands/joints_2d_valid": per_joint,
        "hands/joints_3d": kept(sample.joints),
        "hands/joints_3d_valid": per_joint,
        "mano/model": sample.model,
        "mano/valid": shown,
        **{
            f"mano/{name}": kept(np.asarray(value))
            for name, value in sample.params._asdict().items()
        },
        "rel_trans": rel_trans.astype(np.float32) * both,
        "rel_trans_valid": both,
    }


def _cues(
    rng: np.random.Generator,
    sample: Sample,
    rendering: "Rendering",
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    config: SyntheticConfig,
) -> dict[str, object]:
    noise = config.noise
    hidden = hidden_joints(sample.joints, joints_px, rendering.depth)
    keypoints = keypoint_noise.keypoints(
        rng, joints_px, box, sample.shown, hidden, size=config.size, noise=noise
    )
    labels = map_noise.segmentation(rng, rendering.label, noise=noise)
    depth = map_noise.depth(rng, rendering.depth, rendering.label, noise=noise)
    data, scale, offset = images.encode_depth(depth, rendering.depth > 0)
    provenance: dict[str, object] = {}
    for cue in schema.CUES:
        provenance[f"cues/has_{cue}"] = True
        provenance[f"cues/{cue}_source"] = "synthetic"
        provenance[f"cues/{cue}_version"] = VERSION
    return {
        "cues/keypoints": keypoints,
        "cues/segmentation": images.encode_map(labels),
        "cues/depth": data,
        "cues/depth_scale": np.float32(scale),
        "cues/depth_offset": np.float32(offset),
        **provenance,
    }
