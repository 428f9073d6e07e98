"""A miniature of InterHand2.6M v1.0 in the official layout, made from the open hand.

    python -m twohand_jax.pipelines.interhand26m.fixture DIR --count 4

``--frames`` and ``--cameras`` repeat every scene as other frames and under other
cameras, for annotation files of any size; ``--without-pictures`` writes those alone.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from twohand_jax import mano
from twohand_jax.data import decode, schema
from twohand_jax.mano.joints import CANONICAL_FROM_INTERHAND
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, World, scenes, world
from twohand_jax.types import LEFT, RIGHT, SIDES, ManoModel

SIZE = (334, 512)  # width and height of the release's pictures
SEQUENCE = "0000_miniature"
MM = 1000.0
# What is shown, in turn: both hands, one hand, both with one of them without a fit.
SHOWN = ((RIGHT, LEFT), (RIGHT,), (LEFT,), (RIGHT, LEFT))
WITHOUT_FIT = 3
ABSENT = 1.0  # coordinates of joints that were not annotated


@dataclasses.dataclass(frozen=True)
class Take:
    """A scene before one camera of one capture; lists as they stand in the files."""

    capture: int
    camera: dict[str, Any]
    frame: dict[str, Any]
    fits: dict[str, Any]
    annotation: dict[str, Any]
    picture: bytes


def write(
    root: Path,
    *,
    count: int = 4,
    seed: int = 0,
    splits: Sequence[str] = ("train", "val", "test"),
    frames: int = 1,
    cameras: int = 1,
    pictures: bool = True,
) -> None:
    """Write a miniature.

    Args:
        root: folder, is created.
        count: scenes of a split.
        seed: of the scenes.
        splits: to write.
        frames: how often each scene occurs as another frame.
        cameras: how often each frame occurs under another camera.
        pictures: whether the pictures are written.
    """
    model = mano.load()
    for number, split in enumerate(splits):
        takes = [
            _take(model, place, seed=seed + 1000 * number + place)
            for place in range(count)
        ]
        _write_split(root, split, takes, frames, cameras)
        if pictures:
            _write_pictures(root / "images" / split, takes, frames, cameras)


def _take(model: ManoModel, place: int, *, seed: int) -> Take:
    kind = place % len(SHOWN)
    (scene,) = scenes(1, model=model, size=SIZE, sides=SHOWN[kind], seed=seed)
    seen = world(scene, model=model, seed=seed)
    fits = {name: _fit(seen, side, scene) for side, name in enumerate(SIDES)}
    if kind == WITHOUT_FIT:
        fits["left"] = None
    hand_type = schema.hand_type(scene.shown)
    about = {"hand_type": hand_type, "hand_type_valid": True}
    shown = np.repeat(scene.shown[:, None], 21, axis=1)
    joints = np.where(shown[..., None], seen.joints * MM, ABSENT)
    inside = shown & _inside(scene)
    return Take(
        capture=place % 2,
        camera={
            "campos": (-seen.R.T @ seen.t * MM).tolist(),
            "camrot": seen.R.tolist(),
            "focal": scene.camera.focal.tolist(),
            "princpt": scene.camera.center.tolist(),
        },
        frame={
            "world_coord": _official(joints).tolist(),
            "joint_valid": _official(shown)[:, None].tolist(),
            **about,
        },
        fits=fits,
        annotation={
            "bbox": _bbox(scene, inside),
            "joint_valid": _official(inside)[:, None].astype(int).tolist(),
            **about,
            "hand_type_valid": 1,
        },
        picture=decode.encode_jpeg(scene.image, quality=95),
    )


def _fit(seen: World, side: int, scene: FixtureScene) -> dict[str, list[float]] | None:
    """The MANO parameters of one hand in the world frame."""
    if not scene.shown[side]:
        return None
    params = seen.params
    pose = np.concatenate([params.global_orient[side], params.hand_pose[side].ravel()])
    return {
        "pose": pose.tolist(),
        "shape": params.betas[side].tolist(),
        "trans": params.transl[side].tolist(),
    }


def _official(values: np.ndarray) -> np.ndarray:
    """From (2, 21, ...) canonical joints to 42, tip to base."""
    order = np.argsort(CANONICAL_FROM_INTERHAND)
    return values[:, order].reshape(42, *values.shape[2:])


def _inside(scene: FixtureScene) -> Bool[np.ndarray, "2 21"]:
    inside = (scene.joints_px >= 0) & (scene.joints_px < SIZE)
    return np.asarray(inside.all(axis=-1))


def _bbox(scene: FixtureScene, valid: Bool[np.ndarray, "2 21"]) -> list[float]:
    """x, y, width and height around the valid joints."""
    points = scene.joints_px[valid]
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _frame(place: int, copy: int) -> int:
    return 10000 + 100 * place + 1000000 * copy


def _camera(place: int, copy: int) -> str:
    return str(400000 + place + 1000 * copy)


def _file_name(take: Take, frame: int, camera: str) -> str:
    return f"Capture{take.capture}/{SEQUENCE}/cam{camera}/image{frame}.jpg"


def _all(
    takes: Sequence[Take], frames: int, cameras: int
) -> Iterator[tuple[Take, int, str]]:
    """Every take with all its frames and cameras."""
    for frame in range(frames):
        for place, take in enumerate(takes):
            for camera in range(cameras):
                yield take, _frame(place, frame), _camera(place, camera)


def _write_split(
    root: Path, split: str, takes: Sequence[Take], frames: int, cameras: int
) -> None:
    """The four annotation files of a split."""
    folder = root / "annotations" / split
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"InterHand2.6M_{split}"
    every = list(_all(takes, frames, cameras))
    with (folder / f"{stem}_data.json").open("w") as file:
        pictures = (_image(number, *each) for number, each in enumerate(every))
        file.write('{"images": [')
        file.write(", ".join(map(json.dumps, pictures)))
        told = (_annotation(number, take) for number, (take, *_) in enumerate(every))
        file.write('], "annotations": [')
        file.write(", ".join(map(json.dumps, told)))
        file.write("]}")
    known: dict[str, dict[str, dict[str, Any]]] = {}
    joints: dict[str, dict[str, Any]] = {}
    fits: dict[str, dict[str, Any]] = {}
    for take, frame, camera in every:
        capture = str(take.capture)
        for key, value in take.camera.items():
            known.setdefault(capture, {}).setdefault(key, {})[camera] = value
        joints.setdefault(capture, {})[str(frame)] = take.frame
        fits.setdefault(capture, {})[str(frame)] = take.fits
    for part, content in (
        ("camera", known),
        ("joint_3d", joints),
        ("MANO_NeuralAnnot", fits),
    ):
        (folder / f"{stem}_{part}.json").write_text(json.dumps(content))


def _image(number: int, take: Take, frame: int, camera: str) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": _file_name(take, frame, camera),
        "width": SIZE[0],
        "height": SIZE[1],
        "capture": take.capture,
        "subject": take.capture,
        "seq_name": SEQUENCE,
        "camera": camera,
        "frame_idx": frame,
    }


def _annotation(number: int, take: Take) -> dict[str, Any]:
    return {"id": number, "image_id": number, **take.annotation}


def _write_pictures(
    folder: Path, takes: Sequence[Take], frames: int, cameras: int
) -> None:
    """One file of each scene; its copies are links to it."""
    written: dict[int, Path] = {}
    for take, frame, camera in _all(takes, frames, cameras):
        path = folder / _file_name(take, frame, camera)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if id(take) in written:
            path.hardlink_to(written[id(take)])
        else:
            path.write_bytes(take.picture)
            written[id(take)] = path


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description="Write a miniature of InterHand2.6M.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=4, help="scenes of a split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", nargs="+", default=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=1, help="copies of a scene")
    parser.add_argument("--cameras", type=int, default=1, help="of a frame")
    parser.add_argument("--without-pictures", action="store_true")
    args = parser.parse_args()
    write(
        args.directory,
        count=args.count,
        seed=args.seed,
        splits=args.splits,
        frames=args.frames,
        cameras=args.cameras,
        pictures=not args.without_pictures,
    )


if __name__ == "__main__":
    main()
