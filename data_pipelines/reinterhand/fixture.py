"""A miniature of Re:InterHand in its official layout, made with the open hand.

Two captures with official names, so that one falls into each split; two third-person
cameras and the egocentric one; both kinds of light. What is rendered per frame and per
segment is the same here.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import mano
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, World, scenes, world
from twohand_jax.pipelines.reinterhand import fisheye
from twohand_jax.pipelines.reinterhand.captures import FOLDERS, LIGHTS
from twohand_jax.pipelines.reinterhand.labels import (
    CANONICAL_FROM_RELIGHTED,
    MILLIMETRE,
    SOURCE_JOINTS,
)
from twohand_jax.types import SIDES, Camera

TRAIN = "m--20221111--0944--JFQ550--pilot--ProjectGoliathScript--Hands--two-hands"
TEST = "m--20221215--0949--RNS217--pilot--ProjectGoliathScript--Hands--two-hands"
CAMERAS = ("400262", "400266")
SEQUENCE = "ROM01_Hands"
FIRST_FRAME = 12345
FRAME_STEP = 6
SIZE = (176, 240)
DISTORTION = (-0.3, 0.1, -0.05, 0.01)
SHOWS_LITTLE = 0.1


class _Frame(NamedTuple):
    number: int
    camera: str
    scene: FixtureScene
    world: World


def write(root: Path, *, count: int = 4, seed: int = 0) -> None:
    """Write the miniature.

    Each frame was seen by one of the two third-person cameras, in turn. The last
    egocentric frame of the training capture shows too little to be used.

    Args:
        root: folder of the captures, made if it is missing.
        count: frames of the training capture; the test capture has half of them.
        seed: of poses and cameras.
    """
    model = mano.load()
    drawn = scenes(count + max(1, count // 2), size=SIZE, seed=seed)
    frames = []
    for row, scene in enumerate(drawn):
        camera = row % len(CAMERAS)
        place = world(scene, model=model, seed=seed + camera)
        number = FIRST_FRAME + FRAME_STEP * row
        frames.append(_Frame(number, CAMERAS[camera], scene, place))
    _write_capture(root / TRAIN, frames[:count], dark=1)
    _write_capture(root / TEST, frames[count:], dark=0)


def _write_capture(folder: Path, frames: Sequence[_Frame], *, dark: int) -> None:
    lines = [f"{SEQUENCE} {frame.number:06d}\n" for frame in frames]
    folder.mkdir(parents=True)
    (folder / "frame_list.txt").write_text("".join(lines))
    cameras = {frame.camera: _camera(frame) for frame in frames}
    _dump(folder / FOLDERS["mugsy"] / "cam_params.json", cameras)
    for light in LIGHTS.values():
        for frame in frames:
            place = folder / FOLDERS["mugsy"] / light / "images" / frame.camera
            _draw(place / f"{frame.number:06d}.png", frame.scene.image)
        _write_ego(folder / FOLDERS["ego"] / light, frames, dark)
    for frame in frames:
        _write_labels(folder, frame)


def _write_ego(folder: Path, frames: Sequence[_Frame], dark: int) -> None:
    """The head's camera stands where the frame's other camera stands."""
    ratios = {}
    for row, frame in enumerate(frames):
        name = f"{frame.number:06d}"
        image = through_lens(frame.scene.image, frame.scene.camera, DISTORTION)
        _draw(folder / "images" / f"{name}.png", image)
        camera = _camera(frame) | {"D": list(DISTORTION)}
        _dump(folder / "cam_params" / f"{name}.json", camera)
        ratios[name] = SHOWS_LITTLE if row >= len(frames) - dark else 1.0
    _dump(folder / "truncation_ratio.json", ratios)


def through_lens(
    image: UInt8[np.ndarray, "h w 3"], camera: Camera, distortion: Sequence[float]
) -> UInt8[np.ndarray, "h w 3"]:
    """A pinhole picture as a fisheye lens of the same focal length would draw it."""
    height, width = image.shape[:2]
    focal, center = np.asarray(camera.focal), np.asarray(camera.center)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    rays = fisheye.undistort((grid - center) / focal, np.asarray(distortion))
    pixels = (rays * focal + center).astype(np.float32)
    x, y = np.moveaxis(pixels, -1, 0)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR))


def _write_labels(folder: Path, frame: _Frame) -> None:
    for side, name in enumerate(SIDES):
        points = _source_joints(frame.world.joints[side]) / MILLIMETRE
        place = folder / "orig_fits" / name / "Keypoints"
        _dump(place / f"keypoint-{frame.number:06d}.json", points.tolist())
        orient, pose, betas, transl = (value[side] for value in frame.world.params)
        fit = {
            "pose": [*orient.tolist(), *pose.ravel().tolist()],
            "shape": betas.tolist(),
            "trans": transl.tolist(),
        }
        _dump(folder / "mano_fits" / "params" / f"{frame.number}_{name}.json", fit)


def _source_joints(joints: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "24 3"]:
    """With the joints that MANO lacks: inside the palm, and behind the wrist."""
    wrist = joints[WRIST]
    thumb, pinky = joints[[CANONICAL.THUMB_BASE, CANONICAL.PINKY_BASE]]
    points = np.empty((SOURCE_JOINTS, 3))
    points[CANONICAL_FROM_RELIGHTED] = joints
    points[1], points[18] = (wrist + thumb) / 2, (wrist + pinky) / 2
    points[23] = 2 * wrist - joints[CANONICAL.MIDDLE_BASE]
    return points


def _camera(frame: _Frame) -> dict[str, object]:
    return {
        "R": frame.world.R.tolist(),
        "t": (frame.world.t / MILLIMETRE).tolist(),
        "focal": np.asarray(frame.scene.camera.focal, float).tolist(),
        "princpt": np.asarray(frame.scene.camera.center, float).tolist(),
    }


def _draw(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
