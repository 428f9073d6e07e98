"""A miniature in HO-3D's layout, drawn with the open hand.

Object poses are made up and depth pictures are empty: the reader opens neither. Its
pickles are written as Python 2 did.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from twohand_jax import mano
from twohand_jax.data import decode
from twohand_jax.geometry import boxes
from twohand_jax.mano.joint_set import HO3D
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, TIPS
from twohand_jax.mano.joints import fingertips as tip_vertices
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, scenes
from twohand_jax.pipelines.ho3d.dataset import (
    OUR_FROM_OPENGL,
    RELEASES,
    SIZE,
    ListedFrame,
)
from twohand_jax.types import RIGHT, ManoModel

SEQUENCES = {"train": ("ABF10", "MC1"), "evaluation": ("AP10",)}
EVALUATION_SHARE = 2
SUFFIXES = {release: suffix for suffix, release in RELEASES.items()}


def write(root: Path, *, count: int = 4, seed: int = 0, release: str = "v3") -> None:
    """Write ``count`` training frames and half as many of the evaluation split.

    Args:
        root: is created.
        count: of training frames.
        seed: of poses and cameras.
        release: v2 (PNG pictures) or v3 (JPEG pictures).
    """
    model = mano.load()
    evaluation = max(count // EVALUATION_SHARE, 1)
    drawn = scenes(
        count + evaluation, model=model, size=SIZE, sides=(RIGHT,), seed=seed
    )
    parts = {"train": drawn[:count], "evaluation": drawn[count:]}
    for split, chosen in parts.items():
        lines = []
        for number, scene in enumerate(chosen):
            names = SEQUENCES[split]
            frame = ListedFrame(
                names[number % len(names)], f"{number // len(names):04d}"
            )
            meta = train_meta(scene, model)
            if split == "evaluation":
                meta = _evaluation_meta(scene, meta)
            _write_frame(root, split, frame, scene, meta, SUFFIXES[release])
            lines.append("/".join(frame))
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")


def joints(scene: FixtureScene) -> np.ndarray:
    """The right hand's canonical joints with HO-3D's fingertips, our axes, (21, 3)."""
    xyz = scene.joints[RIGHT].copy()
    xyz[list(TIPS)] = scene.vertices[RIGHT, list(tip_vertices(HO3D.tips))]
    return xyz


def train_meta(scene: FixtureScene, model: ManoModel) -> dict[str, object]:
    """A training frame's annotation: OpenGL's axes, absolute pose, model's order."""
    params = fits.to_frame(model, scene.params, OUR_FROM_OPENGL, np.zeros(3))
    absolute = params.hand_pose[RIGHT] + np.asarray(model.pose_mean[RIGHT])
    (fx, fy), (cx, cy) = scene.camera
    pose = np.concatenate([params.global_orient[RIGHT], absolute.ravel()])
    return {
        "camMat": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64),
        "handPose": pose.astype(np.float64),
        "handBeta": params.betas[RIGHT].astype(np.float64),
        "handTrans": params.transl[RIGHT].astype(np.float64),
        "handJoints3D": _in_their_order(joints(scene)) @ OUR_FROM_OPENGL,
        "objRot": np.zeros((3, 1)),
        "objTrans": np.array([0.0, 0.0, -0.6]),
        "objName": "003_cracker_box",
        "objLabel": 2,
        "objCorners3DRest": np.zeros((8, 3)),
        "objCorners3D": np.zeros((8, 3)),
    }


def _evaluation_meta(scene: FixtureScene, meta: dict[str, object]) -> dict[str, object]:
    """What is public of an evaluation frame."""
    box = boxes.around_joints(scene.joints_px[RIGHT])
    wrist = np.asarray(meta["handJoints3D"])[0]
    kept = {name: meta[name] for name in ("camMat", "objRot", "objTrans", "objName")}
    return kept | {"handJoints3D": wrist, "handBoundingBox": box.round().tolist()}


def _in_their_order(canonical: np.ndarray) -> np.ndarray:
    theirs = np.empty_like(canonical)
    theirs[CANONICAL_FROM_MODEL] = canonical
    return theirs


def _write_frame(
    root: Path,
    split: str,
    frame: ListedFrame,
    scene: FixtureScene,
    meta: dict[str, object],
    suffix: str,
) -> None:
    _, png = cv2.imencode(".png", scene.image[..., ::-1])
    _, depth = cv2.imencode(".png", np.zeros_like(scene.image))
    files = {
        ("rgb", suffix): (
            decode.encode_jpeg(scene.image) if suffix == ".jpg" else png.tobytes()
        ),
        ("depth", ".png"): depth.tobytes(),
        ("meta", ".pkl"): python2_pickle(meta),
    }
    for (kind, ending), data in files.items():
        path = frame.file(root, split, kind, ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


# The stubs of Python's own pickler leave its methods out.
_PicklerBase: Any = pickle._Pickler


class _Python2Pickler(_PicklerBase):
    """Protocol 2 with byte strings and numpy's former module names."""

    dispatch: ClassVar[dict] = dict(_PicklerBase.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = getattr(value, "__module__", "")
        if not module.startswith("numpy"):
            return super().save_global(value, name)
        former = module.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{former}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value: Any) -> bytes:
    """The pickle that Python 2's ``cPickle`` would have written, protocol 2."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()
