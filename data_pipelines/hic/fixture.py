"""A miniature in HIC's layout, drawn with the open hand and HIC's camera.

The depth pictures, silhouettes and pickled parameters of the release are left out: the
reader opens none of them.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8

from twohand_jax import mano
from twohand_jax.data import schema
from twohand_jax.pipelines.fixtures.scenes import (
    GROUND,
    OCCLUSION_RAYS,
    FixtureScene,
    scenes,
)
from twohand_jax.pipelines.hic.dataset import CENTER, FILE, FOCAL, SIZE
from twohand_jax.types import LEFT, RIGHT, SIDES, Camera, ManoModel
from twohand_jax.viz import overlay
from twohand_jax.viz.render import RayScene, paste, render

FITS = "IJCV16___Results_MANO___parms_for___joints21"
# Sequence and hands of each kind of scene; the original has 01-07 for two hands,
# 08-11 for one, 15-21 with objects.
KINDS = (
    ("01", (RIGHT, LEFT)),
    ("08", (RIGHT,)),
    ("19", (LEFT,)),
)


def write(root: Path, *, count: int = 4, seed: int = 0) -> None:
    """Write ``count`` pictures that go round two hands, a right and a left one.

    Args:
        root: is created.
        count: of pictures.
        seed: of poses.
    """
    model = mano.load()
    images, entries = [], []
    # The pictures of these scenes are not used: HIC has a camera of its own.
    for number, scene in enumerate(scenes(count, model=model, size=(8, 8), seed=seed)):
        sequence, shown = KINDS[number % len(KINDS)]
        frame = f"{number // len(KINDS):03d}"
        file_name = f"{sequence}/1/rgb/{frame}.png"
        _save_picture(root / file_name, _draw(scene, shown, model))
        meshes: dict[str, str | None] = {}
        for side, name in enumerate(SIDES):
            path = f"{FITS}/{fit_folder(sequence, side)}/{frame}.ply"
            meshes[f"{name}_mano_path"] = path if side in shown else None
            if side in shown:
                faces = np.asarray(model.faces[side])
                write_ply(root / path, scene.vertices[side], faces)
        width, height = SIZE
        images.append(
            {
                "id": number,
                "file_name": file_name,
                "width": width,
                "height": height,
                "seq_name": sequence,
            }
        )
        kind = schema.hand_type([side in shown for side in (RIGHT, LEFT)])
        entries.append({"id": number, "image_id": number, "hand_type": kind, **meshes})
    content = {"images": images, "annotations": entries}
    (root / FILE).write_text(json.dumps(content))


def fit_folder(sequence: str, side: int) -> str:
    """Folder of a sequence's meshes in the official archive."""
    return f"IJCV16___fakeGT___IJCV___{sequence}___Model_Hand_{'RL'[side]}___ncomps45"


def write_ply(
    path: Path, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> None:
    """A mesh as binary PLY, its vertices in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.export(path, file_type="ply", vertex_normal=False)


def _draw(
    scene: FixtureScene, shown: tuple[int, ...], model: ManoModel
) -> UInt8[np.ndarray, "480 640 3"]:
    """Both hands in HIC's camera."""
    camera = Camera(np.array(FOCAL, np.float32), np.array(CENTER, np.float32))
    meshes = overlay.hand_meshes(model, scene.vertices, np.isin([RIGHT, LEFT], shown))
    drawn = render(
        RayScene(meshes, occlusion_rays=OCCLUSION_RAYS),
        camera,
        height=SIZE[1],
        width=SIZE[0],
    )
    ground = np.full((SIZE[1], SIZE[0], 3), GROUND, np.uint8)
    return paste(drawn.rgba, ground)


def _save_picture(path: Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    _, data = cv2.imencode(".png", picture[..., ::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
