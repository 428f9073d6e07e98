"""A miniature in FreiHAND's layout, drawn with the open hand or another one."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import mano
from twohand_jax.data import decode
from twohand_jax.mano.joint_set import FREIHAND
from twohand_jax.mano.joints import CANONICAL
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, scenes
from twohand_jax.pipelines.freihand.dataset import SIZE, VERSIONS
from twohand_jax.types import RIGHT, HandGeometry, ManoModel

EVALUATION_SHARE = 2
MASK = 255


def write(
    root: Path, *, count: int = 4, seed: int = 0, model: ManoModel | None = None
) -> None:
    """Write ``count`` training samples in four versions and half as many to evaluate.

    Args:
        root: is created.
        count: of training samples.
        seed: of poses and cameras.
        model: hand model; the open hand.
    """
    evaluation = max(count // EVALUATION_SHARE, 1)
    model = mano.load() if model is None else model
    drawn = scenes(
        count + evaluation, model=model, size=SIZE, sides=(RIGHT,), seed=seed
    )
    _write_split(root, "training", drawn[:count], VERSIONS, model)
    _write_split(root, "evaluation", drawn[count:], VERSIONS[:1], model)
    mask = root / "training" / "mask"
    mask.mkdir()
    for number, scene in enumerate(drawn[:count]):
        shown = np.uint8(MASK) * (scene.labels > 0)
        _save(mask / f"{number:08d}.jpg", np.repeat(shown[..., None], 3, axis=2))


def joints(scene: FixtureScene, model: ManoModel) -> np.ndarray:
    """The right hand's joints as FreiHAND means them, metres, (21, 3)."""
    geometry = HandGeometry(scene.vertices, scene.joints)
    return np.asarray(FREIHAND.of(model, geometry))[RIGHT]


def _write_split(
    root: Path,
    split: str,
    drawn: list[FixtureScene],
    versions: tuple[str, ...],
    model: ManoModel,
) -> None:
    folder = root / split / "rgb"
    folder.mkdir(parents=True)
    for version in range(len(versions)):
        for number, scene in enumerate(drawn):
            # Another background for each version, as in the original.
            tint = np.roll(np.array([40, 120, 60], np.uint8), version)
            picture = np.where(scene.labels[..., None] > 0, scene.image, tint)
            index = number + version * len(drawn)
            _save(folder / f"{index:08d}.jpg", picture)
    xyz = [joints(scene, model) for scene in drawn]
    columns = {
        "K": [_matrix(scene) for scene in drawn],
        "mano": [
            [_vector(scene, hand)] for scene, hand in zip(drawn, xyz, strict=True)
        ],
        "xyz": [hand.tolist() for hand in xyz],
        "verts": [scene.vertices[RIGHT].tolist() for scene in drawn],
        "scale": [_bone(hand) for hand in xyz],
    }
    for part, rows in columns.items():
        (root / f"{split}_{part}.json").write_text(json.dumps(rows))


def _matrix(scene: FixtureScene) -> list[list[float]]:
    (fx, fy), (cx, cy) = scene.camera.focal.tolist(), scene.camera.center.tolist()
    return [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]


def _vector(scene: FixtureScene, hand: Float[np.ndarray, "21 3"]) -> list[float]:
    """48 pose, 10 shape, the root's pixel and scale (toolbox: ``recover_root``)."""
    params = scene.params
    root = hand[CANONICAL.MIDDLE_BASE]
    scale = scene.camera.focal.mean() / root[2]
    pixel = root[:2] * scale + scene.camera.center
    parts = (
        params.global_orient[RIGHT],
        params.hand_pose[RIGHT].ravel(),
        params.betas[RIGHT],
        pixel,
        [scale],
    )
    return [float(value) for value in np.concatenate(parts)]


def _bone(hand: Float[np.ndarray, "21 3"]) -> float:
    """Length of the middle finger's first bone (toolbox, issue 8), metres."""
    base = CANONICAL.MIDDLE_BASE
    return float(np.linalg.norm(hand[base + 1] - hand[base]))


def _save(path: Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    path.write_bytes(decode.encode_jpeg(picture))
