"""A miniature of COCO-WholeBody in its official layout, made with the open hand.

Each picture shows two people beside each other. Besides them the annotations hold what
the real ones hold: a crowd, a person without labelled hands, hands without a fit, and
per hand a camera of NeuralAnnot's kind.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from twohand_jax import mano
from twohand_jax.geometry import cameras
from twohand_jax.geometry.boxes import HAND_BOX_SCALE
from twohand_jax.mano import params as mano_params
from twohand_jax.pipelines.coco_wholebody import dataset
from twohand_jax.pipelines.coco_wholebody.layout import FITS
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, scenes
from twohand_jax.types import SIDES, Camera, ManoModel

SIZE = (160, 208)
PEOPLE = 2
FIRST_IMAGE, FIRST_PERSON = 785, 442619
JPEG_QUALITY = 95
# The boxes of the official example are that much larger than the tight ones (median).
# NeuralAnnot's focal length for a box of its network's input size, and that size.
FIT_FOCAL, FIT_SIZE = 5000.0, 256.0
Json = dict[str, object]


def write(root: Path, *, count: int = 4, seed: int = 0) -> None:
    """Write the miniature.

    Even people were fitted with the picture's camera, odd ones with a camera for each
    hand. The first person's left hand has a fit but no labels; the last person of
    the training split has labels but no fits.

    Args:
        root: folder of ``annotations`` and ``images``, made if it is missing.
        count: people with hands in the training split, rounded up to whole pictures;
            the validation split has two.
        seed: of poses and cameras.
    """
    pictures = -(-count // PEOPLE)
    people = scenes(PEOPLE * (pictures + 1), size=SIZE, seed=seed)
    _write_split(root, "train", people[: PEOPLE * pictures], FIRST_IMAGE)
    _write_split(root, "val", people[PEOPLE * pictures :], FIRST_IMAGE + pictures)


def _write_split(
    root: Path, split: str, people: list[FixtureScene], first: int
) -> None:
    images, annotations, fits = [], [], {}
    model = mano.load()
    for row in range(0, len(people), PEOPLE):
        number = first + row // PEOPLE
        images.append(_write_image(root, split, number, people[row : row + PEOPLE]))
        for place, scene in enumerate(people[row : row + PEOPLE]):
            name = FIRST_PERSON + PEOPLE * number + place
            shift = np.array([SIZE[0] * place, 0.0])
            hands, entry = _person(scene, shift, model, own=bool(place))
            annotations.append(_annotation(name, number, hands))
            fits[str(name)] = entry
    if split == "train":
        _forget(annotations[0], "left")
        fits[str(annotations[-1]["id"])] = {"right": None, "left": None}
        _dump(root / "annotations" / FITS, fits)
    extra = FIRST_PERSON - len(annotations)
    nobody = _annotation(extra, first, {})
    crowd = _annotation(extra + 1, first, {}) | {"iscrowd": 1, "righthand_valid": True}
    _dump(
        root / "annotations" / f"coco_wholebody_{split}_v1.0.json",
        {
            "info": {"description": "COCO-WholeBody", "version": "1.0"},
            "licenses": [{"id": 1, "name": "miniature", "url": ""}],
            "categories": [{"supercategory": "person", "id": 1, "name": "person"}],
            "images": images,
            "annotations": [nobody, *annotations, crowd],
        },
    )


def _write_image(
    root: Path, split: str, number: int, people: list[FixtureScene]
) -> Json:
    image = np.hstack([scene.image for scene in people])
    path = root / "images" / f"{split}2017" / f"{number:012d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    return {
        "license": 1,
        "file_name": path.name,
        "coco_url": f"http://images.cocodataset.org/{split}2017/{path.name}",
        "height": image.shape[0],
        "width": image.shape[1],
        "date_captured": "2013-11-19 21:22:42",
        "id": number,
    }


def _person(
    scene: FixtureScene, shift: Float[np.ndarray, "2"], model: ManoModel, *, own: bool
) -> tuple[dict[str, Float[np.ndarray, "21 2"]], Json]:
    """Pixels of both hands, and their fits, with cameras of their own or the scene's.

    The labels are where the fits' cameras project the joints.
    """
    seen = Camera(np.asarray(scene.camera.focal), scene.camera.center + shift)
    rest = np.asarray(mano_params.rest_wrist(model, scene.params.betas))
    labels: dict[str, np.ndarray] = {}
    fits: Json = {}
    for side, name in enumerate(SIDES):
        joints = scene.joints[side].astype(float)
        pixels = cameras.project(joints, seen)
        camera = _fit_camera(pixels) if own else seen
        moved = dataset.moved_fit(joints[0], seen, camera) if own else joints[0]
        orient, pose, betas, _ = (value[side] for value in scene.params)
        labels[name] = cameras.project(joints + (moved - joints[0]), camera)
        fits[name] = {
            "mano_param": {
                "pose": [*orient.tolist(), *pose.ravel().tolist()],
                "shape": betas.tolist(),
                "trans": (moved - rest[side]).tolist(),
            },
            "cam_param": {
                "focal": camera.focal.tolist(),
                "princpt": camera.center.tolist(),
            },
        }
    return labels, fits


def _fit_camera(pixels: Float[np.ndarray, "21 2"]) -> Camera:
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    focal = FIT_FOCAL / FIT_SIZE * HAND_BOX_SCALE * float((high - low).max())
    return Camera(focal=np.full(2, focal), center=(low + high) / 2)


def _annotation(
    name: int, image: int, hands: dict[str, Float[np.ndarray, "21 2"]]
) -> Json:
    """All official fields; those of body, face and feet are empty."""
    entry: Json = {
        "segmentation": [[0.0, 0.0, 10.0, 0.0, 10.0, 10.0]],
        "num_keypoints": 1 if hands else 0,
        "area": 100.0,
        "iscrowd": 0,
        "keypoints": [0] * 51,
        "image_id": image,
        "bbox": [0.0, 0.0, *map(float, SIZE)],
        "category_id": 1,
        "id": name,
        "face_box": [0.0] * 4,
        "face_kpts": [0.0] * 204,
        "face_valid": False,
        "foot_kpts": [0.0] * 18,
        "foot_valid": False,
    }
    for side in ("left", "right"):
        _forget(entry, side)
        if side in hands:
            flags = np.ones((21, 1))
            points = np.concatenate([hands[side], flags], axis=1)
            points[20] = 0.0
            low, high = hands[side].min(axis=0), hands[side].max(axis=0)
            size, middle = HAND_BOX_SCALE * (high - low), (low + high) / 2
            entry[f"{side}hand_box"] = [*(middle - size / 2), *size]
            entry[f"{side}hand_kpts"] = points.ravel().tolist()
            entry[f"{side}hand_valid"] = True
    return entry


def _forget(entry: Json, side: str) -> None:
    """The zeros of a hand that is not labelled."""
    entry[f"{side}hand_box"] = [0.0] * 4
    entry[f"{side}hand_kpts"] = [0.0] * 63
    entry[f"{side}hand_valid"] = False


def _dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
