"""Cues from a record's own labels, for ablations: what a perfect extractor would say.

Keypoints are the labelled 2D joints; segmentation and depth are cast from the surfaces
of the hand model's fits, so they need a fit of every hand that is in the picture.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Float32, Int

from twohand_jax import mano
from twohand_jax.cues.extraction import KINDS, Provenance, no_cues
from twohand_jax.errors import InputError
from twohand_jax.types import Camera, Cues, ManoModel, ManoParams
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import Scene

SOURCE, VERSION = "ground truth", "1"


class LabelCues:
    """Ground truth as cues.

    Attributes:
        model: the hand model that the records' fits belong to.
        provenance: what records say of each cue.
    """

    def __init__(self, model: ManoModel) -> None:
        """Take the hand model."""
        self.model = model
        self.provenance = dict.fromkeys(KINDS, Provenance(SOURCE, VERSION))
        self._forward = jax.jit(mano.forward)

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Cues of flat examples.

        Raises:
            InputError: the fits belong to another hand model.
        """
        return [self._one(example) for example in examples]

    def _one(self, example: Mapping[str, Any]) -> Cues:
        cues = no_cues(int(example["height"]), int(example["width"]))
        cues = _with_keypoints(cues, example)
        shown, fitted = example["hands/valid"], example["mano/valid"]
        if not example["camera/valid"] or not shown.any() or (shown & ~fitted).any():
            return cues
        self._check_model(example)
        params = ManoParams(*(example[f"mano/{name}"] for name in ManoParams._fields))
        vertices = np.asarray(self._forward(self.model, params).vertices)
        meshes = hand_meshes(self.model, vertices, shown)
        # One ray of occlusion: nothing is shaded here.
        scene = Scene(meshes, occlusion_rays=1)
        camera = Camera(example["camera/focal"], example["camera/center"])
        labels = np.flatnonzero(shown) + 1
        return _with_maps(cues, scene, camera, labels)

    def _check_model(self, example: Mapping[str, Any]) -> None:
        if example["mano/model"] != self.model.name:
            raise InputError(
                f"The fits of record {example['image_id']} belong to the hand model "
                f"{example['mano/model']!r}, but {self.model.name!r} is loaded: give "
                "the right one with --mano."
            )


def _with_keypoints(cues: Cues, example: Mapping[str, Any]) -> Cues:
    valid = example["hands/joints_2d_valid"] & example["hands/valid"][:, None]
    score = valid[..., None].astype(np.float32)
    keypoints = np.concatenate([example["hands/joints_2d"] * score, score], axis=-1)
    return cues._replace(keypoints=keypoints, has_keypoints=np.asarray(valid.any()))


def _with_maps(
    cues: Cues, scene: Scene, camera: Camera, labels: Int[np.ndarray, "m"]
) -> Cues:
    """Label and relative depth of the first surface at each pixel's centre."""
    height, width = cues.segmentation.shape
    rays = _rays(camera, height, width)
    hits = scene.first_hit(np.zeros_like(rays), rays)
    found = hits["primID"] >= 0
    owner = np.where(found, labels[scene.owner[hits["primID"]]], 0)
    segmentation = owner.reshape(height, width).astype(np.uint8)
    depth = relative_depth(np.where(found, hits["tfar"], 0).reshape(height, width))
    return cues._replace(
        segmentation=segmentation,
        depth=depth,
        has_segmentation=np.asarray(found.any()),
        has_depth=np.asarray(found.any()),
    )


def relative_depth(depth_m: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """0 for the nearest to 1 for the farthest positive depth; 0 where there is none."""
    there = depth_m > 0
    if not there.any():
        return np.zeros(depth_m.shape, np.float32)
    near, far = depth_m[there].min(), depth_m[there].max()
    share = (depth_m - near) / max(far - near, 1e-6)
    return np.where(there, share, 0.0).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _grid(height: int, width: int) -> Float32[np.ndarray, "n 2"]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def _rays(camera: Camera, height: int, width: int) -> Float32[np.ndarray, "n 3"]:
    """Directions with z = 1 through all pixel centres, so lengths are depths."""
    plane = (_grid(height, width) - np.asarray(camera.center)) / camera.focal
    return np.column_stack([plane, np.ones(len(plane))]).astype(np.float32)
