"""A labels file with pictures of the open hand, each with other parts of the labels."""

import json
from pathlib import Path
from typing import Any

from twohand_jax import mano
from twohand_jax.data import decode
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, scenes
from twohand_jax.pipelines.own.dataset import FILE
from twohand_jax.types import LEFT, RIGHT, SIDES

# What a picture's labels hold, in turn.
KINDS = (
    ("joints_px", "joints_m", "mano"),
    ("joints_m",),
    ("mano",),
    ("joints_px", "box"),
)
SPLITS = ("test", "test", "test", "train")


def write(root: Path, *, count: int = 4, seed: int = 0) -> None:
    """Write pictures and ``labels.json``.

    Args:
        root: is created.
        count: of pictures.
        seed: of poses and cameras.
    """
    (root / "images").mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, scene in enumerate(scenes(count, seed=seed)):
        name = f"images/{number:04d}.jpg"
        (root / name).write_bytes(decode.encode_jpeg(scene.image))
        pictures.append({"image": name, **entry(scene, number)})
    content = {"hand_model": mano.load().name, "pictures": pictures}
    (root / FILE).write_text(json.dumps(content))


def entry(scene: FixtureScene, number: int) -> dict[str, Any]:
    """Labels of a scene; every second picture labels one hand only, without a key."""
    kind = KINDS[number % len(KINDS)]
    found: dict[str, Any] = {"split": SPLITS[number % len(SPLITS)]}
    if kind != ("joints_px", "box"):
        found |= {
            "focal": scene.camera.focal.tolist(),
            "center": scene.camera.center.tolist(),
        }
    if number % 2:
        side = (RIGHT, LEFT)[number // 2 % 2]
        return found | {"side": SIDES[side], **hand(scene, side, kind)}
    both = {name: hand(scene, side, kind) for side, name in enumerate(SIDES)}
    return found | {"subset": "both"} | both


def hand(scene: FixtureScene, side: int, parts: tuple[str, ...]) -> dict[str, Any]:
    """These parts of a hand's labels."""
    points = scene.joints_px[side]
    low, high = points.min(axis=0), points.max(axis=0)
    params = scene.params
    whole = {
        "joints_px": points.tolist(),
        "joints_m": scene.joints[side].tolist(),
        "box": [*low.tolist(), *high.tolist()],
        "mano": {
            "global_orient": params.global_orient[side].tolist(),
            "hand_pose": params.hand_pose[side].ravel().tolist(),
            "betas": params.betas[side].tolist(),
            "transl": params.transl[side].tolist(),
        },
    }
    return {part: whole[part] for part in parts}
