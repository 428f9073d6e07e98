"""From a rendered pair of hands to a record, with the faults of an extractor's cues."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.crops.cue_table import CUE_KINDS, DEFAULT
from twohand_jax.data import decode, schema
from twohand_jax.geometry import boxes, cameras
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import LEFT, RIGHT, Camera, ManoParams

if TYPE_CHECKING:
    from twohand_jax.pipelines.synthetic.render.renderer import Rendering


# A joint lies inside of the flesh; what is this much nearer to the camera hides it.
HIDDEN_BEHIND_M = 0.022


class PosedSample(NamedTuple):
    """Both hands of one picture, numpy, without a batch axis; camera frame."""

    params: ManoParams
    joints: Float[np.ndarray, "2 21 3"]
    vertices: Float[np.ndarray, "2 778 3"]
    camera: Camera
    shown: Bool[np.ndarray, "2"]
    kind: str
    model: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueNoise:
    """How far the cues are from the truth, so that training sees what extractors do.

    Attributes:
        keypoint: standard deviation of a visible joint's error, of its hand's box side.
        keypoint_shift: the same for an error that a whole hand shares.
        occluded_factor: how much larger a hidden joint's error is.
        dropout: probability that a visible joint is not found; hidden: three times.
        finger_swap: probability that two neighbouring fingers of a hand change places.
        hand_swap: probability that right and left change places (both hands shown).
        hand_missing: probability that a hand's keypoints are not found.
        boundary: standard deviation of the labels' shift along their boundary, pixels
            of a 256-pixel picture.
        morphology: probability that the labels are grown or shrunk by a pixel.
        clean: share of pictures whose maps are exact.
        depth_smooth_m: standard deviation of depth's smooth error.
        depth_fine_m: of its fine error.
        depth_hand_m: of an error that each hand has of its own.
        normals: standard deviation of the smooth error of each component of a normal.
    """

    keypoint: float = 0.018
    keypoint_shift: float = 0.008
    occluded_factor: float = 2.5
    dropout: float = 0.015
    finger_swap: float = 0.02
    hand_swap: float = 0.015
    hand_missing: float = 0.015
    boundary: float = 1.0
    morphology: float = 0.4
    clean: float = 0.25
    depth_smooth_m: float = 0.004
    depth_fine_m: float = 0.0015
    depth_hand_m: float = 0.006
    normals: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """A synthetic set.

    Attributes:
        size: side of the square pictures in pixels.
        seed: of everything; splits and shards draw from disjoint streams of it.
        train: pictures of the training split.
        test: pictures of the test split.
        shard_size: pictures a shard.
        views: pictures of each pose, from different cameras in different scenes.
        kinds: kinds of placement to draw from (``poses.sampler.KINDS``); empty for all.
        jpeg_quality: of the stored pictures.
        cues: kinds of cues that the records hold.
        noise: of the cues.
        min_visible: a shown hand with fewer visible pixels (of a 256-pixel picture)
            makes the picture be rejected.
        min_joints: so does a shown hand with fewer joints inside of the picture.
    """

    size: int = 256
    seed: int = 0
    train: int = 4096
    test: int = 512
    shard_size: int = 512
    views: int = 4
    kinds: tuple[str, ...] = ()
    jpeg_quality: int = 92
    cues: tuple[str, ...] = DEFAULT
    noise: CueNoise = CueNoise()
    min_visible: int = 40
    min_joints: int = 8

    def settings(self) -> dict[str, object]:
        """Everything that decides the bytes; the usual cues go without saying."""
        fields = dataclasses.asdict(self)
        if self.cues == DEFAULT:
            del fields["cues"]
        if "normals" not in self.cues:
            del fields["noise"]["normals"]
        return fields


def record(
    rng: np.random.Generator,
    sample: PosedSample,
    rendering: "Rendering",
    image_id: str,
    *,
    config: SyntheticConfig,
) -> dict[str, object]:
    """The flat example of a picture (``schema.FEATURES``)."""
    joints_px = cameras.project(sample.joints, sample.camera)
    box = boxes.around_joints(joints_px) * sample.shown[:, None]
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "image": decode.encode_jpeg(rendering.image, quality=config.jpeg_quality),
        "image_id": image_id,
        "dataset": "synthetic",
        "subset": sample.kind,
        "hand_type": schema.hand_type(sample.shown),
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


def joints_inside(
    joints_px: Float[np.ndarray, "2 21 2"], size: int
) -> Int[np.ndarray, "2"]:
    """How many joints of each hand lie in a square picture."""
    inside = ((joints_px >= 0) & (joints_px <= size - 1)).all(axis=-1)
    return inside.sum(axis=-1)


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
    sample: PosedSample, joints_px: Float[np.ndarray, "2 21 2"]
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
    sample: PosedSample,
    rendering: "Rendering",
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    config: SyntheticConfig,
) -> dict[str, object]:
    noise = config.noise
    hidden = hidden_joints(sample.joints, joints_px, rendering.depth)
    keypoints = noisy_keypoints(
        rng, joints_px, box, sample.shown, hidden, size=config.size, noise=noise
    )
    labels = noisy_segmentation(rng, rendering.label, noise=noise)
    depth = noisy_depth(rng, rendering.depth, rendering.label, noise=noise)
    foreground = rendering.depth > 0
    made = {"keypoints": keypoints, "segmentation": labels, "depth": depth}
    if "normals" in config.cues:
        made["normals"] = noisy_normals(rng, rendering.normals, noise=noise)
    features: dict[str, object] = {}
    for cue in config.cues:
        features[f"cues/has_{cue}"] = True
        features[f"cues/{cue}_source"] = "synthetic"
        features[f"cues/{cue}_version"] = VERSION
        if CUE_KINDS[cue].is_map:
            features |= decode.encode_cue(cue, made[cue], foreground)
        else:
            features[f"cues/{cue}"] = made[cue]
    return features


Generator = np.random.Generator
VISIBLE_SCORE, HIDDEN_SCORE, OUTSIDE_FACTOR = (0.75, 1.0), (0.25, 0.7), 0.5


def noisy_keypoints(
    rng: Generator,
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    shown: Bool[np.ndarray, "2"],
    hidden: Bool[np.ndarray, "2 21"],
    *,
    size: int,
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 3"]:
    """Noisy keypoints with scores.

    Args:
        rng: random generator.
        joints_px: true joints.
        box: hand boxes, the unit of the noise.
        shown: hands in the picture; the others get score 0.
        hidden: joints behind something.
        size: side of the picture in pixels.
        noise: how much.

    Returns:
        x, y (pixels) and score; all zero where nothing was found.
    """
    found_px = _shaken(rng, joints_px, box, hidden, noise)
    scores = [rng.uniform(*limits, (2, 21)) for limits in (HIDDEN_SCORE, VISIBLE_SCORE)]
    score = np.where(hidden, *scores)
    outside = ((found_px < 0) | (found_px > size - 1)).any(axis=-1)
    score = score * np.where(outside, OUTSIDE_FACTOR, 1.0)
    lost = rng.random((2, 21)) < noise.dropout * np.where(hidden, 3.0, 1.0)
    lost |= rng.random((2, 1)) < noise.hand_missing
    lost |= ~shown[:, None]
    found = np.concatenate([found_px, score[..., None]], axis=-1)
    found = np.where(lost[..., None], 0.0, found)
    return _swapped(rng, found, shown, noise).astype(np.float32)


def _shaken(
    rng: Generator,
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    hidden: Bool[np.ndarray, "2 21"],
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 2"]:
    """Joints with an error each and one that their hand shares."""
    side = (box[:, 2:] - box[:, :2]).max(axis=-1)[:, None, None]
    # Detectors are good on some pictures and bad on others.
    level = rng.gamma(4.0, 0.25)
    spread = noise.keypoint * np.where(hidden, noise.occluded_factor, 1.0)[..., None]
    error = spread * _heavy_tailed(rng, joints_px.shape)
    error += noise.keypoint_shift * rng.normal(size=(2, 1, 2))
    return joints_px + level * side * error


def _heavy_tailed(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit normal errors of which one in ten is three times as large."""
    outlier = rng.random((*shape[:-1], 1)) < 0.1
    return rng.normal(size=shape) * np.where(outlier, 3.0, 1.0)


def _swapped(
    rng: Generator,
    found: Float[np.ndarray, "2 21 3"],
    shown: Bool[np.ndarray, "2"],
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 3"]:
    for hand in range(2):
        if rng.random() < noise.finger_swap:
            first = CANONICAL[rng.integers(1, 4)]
            pair = np.arange(first, first + 8)
            found[hand, pair] = found[hand, np.roll(pair, 4)]
    if shown.all() and rng.random() < noise.hand_swap:
        found = found[::-1]
    return found


REFERENCE_SIZE = 256


def noisy_segmentation(
    rng: Generator, labels: UInt8[np.ndarray, "h w"], *, noise: CueNoise
) -> UInt8[np.ndarray, "h w"]:
    """Labels with boundaries that wander by a pixel or two, sometimes grown or thin."""
    if rng.random() < noise.clean:
        return labels
    unit = labels.shape[0] / REFERENCE_SIZE
    shift = [
        noise.boundary * unit * _smooth(rng, labels.shape, 7 * unit) for _ in range(2)
    ]
    rows, columns = np.indices(labels.shape, np.float32)
    moved = cv2.remap(labels, columns + shift[0], rows + shift[1], cv2.INTER_NEAREST)
    if rng.random() >= noise.morphology:
        return moved
    kernel = np.ones((3, 3), np.uint8)
    if rng.random() < 0.5:
        grown = cv2.dilate(moved, kernel)
        return np.where(moved > 0, moved, grown)
    whole = cv2.erode((moved > 0).astype(np.uint8), kernel)
    return moved * whole


def noisy_depth(
    rng: Generator,
    depth_m: Float[np.ndarray, "h w"],
    labels: UInt8[np.ndarray, "h w"],
    *,
    noise: CueNoise,
) -> Float[np.ndarray, "h w"]:
    """Relative depth with smooth errors: 0 near to 1 far over the foreground.

    Args:
        rng: random generator.
        depth_m: metres, 0 for the background.
        labels: hands, which get an error each (extractors misjudge the gap).
        noise: how much.
    """
    foreground = depth_m > 0
    if not foreground.any():
        return np.zeros_like(depth_m)
    unit = depth_m.shape[0] / REFERENCE_SIZE
    noisy = np.asarray(depth_m, np.float64)
    if rng.random() >= noise.clean:
        noisy = noisy + noise.depth_smooth_m * _smooth(rng, depth_m.shape, 16 * unit)
        noisy = noisy + noise.depth_fine_m * _smooth(rng, depth_m.shape, 6 * unit)
        offset = np.array([0.0, *rng.normal(0, noise.depth_hand_m, 2)])
        noisy = noisy + offset[labels]
    low, high = noisy[foreground].min(), noisy[foreground].max()
    relative = (noisy - low) / max(float(high - low), 1e-6)
    return np.where(foreground, relative, 0.0).astype(np.float32)


def noisy_normals(
    rng: Generator, normals: Float[np.ndarray, "h w 3"], *, noise: CueNoise
) -> Float[np.ndarray, "h w 3"]:
    """Unit normals with smooth errors; zeros stay zeros.

    Args:
        rng: random generator.
        normals: unit vectors in the camera frame, zeros for the background.
        noise: how much.
    """
    if rng.random() < noise.clean:
        return normals
    shape = normals.shape[:2]
    sigma = 10 * shape[0] / REFERENCE_SIZE
    error = np.stack([_smooth(rng, shape, sigma) for _ in range(3)], axis=-1)
    shaken = normals + noise.normals * error
    shaken /= np.maximum(np.linalg.norm(shaken, axis=-1, keepdims=True), 1e-6)
    return np.where(normals.any(axis=-1, keepdims=True), shaken, 0.0)


def _smooth(
    rng: Generator, shape: tuple[int, int], sigma: float
) -> Float[np.ndarray, "h w"]:
    """Noise of standard deviation 1 that varies over ``sigma`` pixels."""
    step = max(int(sigma), 1)
    coarse = [length // step + 3 for length in shape]
    values = rng.normal(size=coarse).astype(np.float32)
    size = (shape[1] + 2 * step, shape[0] + 2 * step)
    wide = cv2.resize(values, size, interpolation=cv2.INTER_CUBIC)
    field = wide[step : step + shape[0], step : step + shape[1]]
    return field / max(float(field.std()), 1e-6)


VERSION = "1.1.0"
SPLIT_STREAMS = {"train": 0, "test": 1}
