"""The files of one picture, or of samples: all of them or none."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from twohand_jax import files, mano
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.types import LEFT, RIGHT, SIDES, ManoModel, ManoParams, Prediction
from twohand_jax.viz import contact_sheet, meshes, overlay
from twohand_jax.viz import meshes as mesh_files
from twohand_jax.viz.render import Mesh

METRES, PIXELS = 6, 2
ENDINGS = (".json", "_right.obj", "_left.obj", ".glb", "_overlay.png")


def to_json(
    prediction: Prediction,
    *,
    image: str,
    model: str,
    refined: bool = False,
    penetration: dict[str, float | None] | None = None,
) -> dict[str, Any]:
    """A prediction of one picture as plain values.

    Metres, radians, pixels with centres at integers; camera frame x right, y down,
    z forward. Absent hands are null, ``rel_trans`` is null unless both are there.

    Args:
        prediction: without batch axis.
        image: the picture's file.
        model: name of the hand model that the parameters belong to.
        refined: whether the diffusion prior changed it.
        penetration: ``max_depth_mm`` and ``volume_cm3`` of both hands.
    """
    host = jax.tree.map(np.asarray, prediction)
    pixels = np.asarray(cameras.project(prediction.geometry.joints, prediction.camera))
    hands = {
        name: _hand(host, pixels[side], side) if host.score[side] > 0 else None
        for side, name in enumerate(SIDES)
    }
    both = bool((host.score > 0).all())
    return {
        "image": image,
        "camera": {
            "focal": _list(host.camera.focal, PIXELS),
            "center": _list(host.camera.center, PIXELS),
        },
        "model": model,
        "refined": refined,
        "hands": hands,
        "rel_trans": _list(host.rel_trans, METRES) if both else None,
        "penetration": penetration if both else None,
    }


def _hand(host: Prediction, pixels: Float[np.ndarray, "21 2"], side: int) -> dict:
    params = {name: value[side] for name, value in host.mano._asdict().items()}
    return {
        "score": round(float(host.score[side]), 4),
        "box": _list(host.box[side], PIXELS),
        **{name: _list(value, METRES) for name, value in params.items()},
        "joints_cam": _list(host.geometry.joints[side], METRES),
        "joints_px": _list(pixels, PIXELS),
    }


def _list(values: np.ndarray, digits: int) -> list[Any]:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def prepare_folder(path: str | Path) -> Path:
    """The output folder, made if missing and tried for writing before any work.

    Raises:
        InputError: it cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"The output folder {path} cannot be written: {error.strerror}; choose "
            "another with --out."
        ) from error
    return path


def write(
    folder: Path,
    name: str,
    content: dict[str, Any],
    prediction: Prediction,
    model: ManoModel,
    meshes: list[Mesh],
    overlay: UInt8[np.ndarray, "h w 3"],
) -> list[Path]:
    """Write a picture's files; files of an earlier result that no longer hold go.

    Args:
        folder: from ``prepare_folder``.
        name: stem of the files.
        content: from ``to_json``.
        prediction: for the meshes in MANO's own topology (OBJ).
        model: its faces.
        meshes: closed, coloured hands (GLB).
        overlay: the picture to look at.

    Returns:
        The files written, the JSON file first.
    """
    there = [side for side in (RIGHT, LEFT) if content["hands"][SIDES[side]]]
    vertices = np.asarray(prediction.geometry.vertices)
    names = [name + ending for ending in ENDINGS]
    with files.together(folder, names) as beside:
        text = json.dumps(content, indent=1) + "\n"
        (beside / f"{name}.json").write_text(text)
        for side in there:
            path = beside / f"{name}_{SIDES[side]}.obj"
            mesh_files.write_obj(path, vertices[side], np.asarray(model.faces[side]))
        if there:
            nodes = [f"{SIDES[side]}_hand" for side in there]
            mesh_files.write_glb(beside / f"{name}.glb", meshes, nodes)
        Image.fromarray(overlay).save(beside / f"{name}_overlay.png", compress_level=4)
    return [folder / name for name in names if (folder / name).exists()]


SHOWN = 16
POSES, SHEET = "poses.npz", "contact_sheet.png"


def write_samples(
    folder: str | Path, model: ManoModel, params: ManoParams
) -> list[Path]:
    """Write pairs of hands; files of earlier ones that no longer hold go.

    Args:
        folder: made if missing.
        model: hand model.
        params: with one leading axis, metres; all of them go into ``poses.npz``, the
            first 16 get a mesh and a tile on the sheet.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = prepare_folder(folder)
    first = jax.tree.map(lambda leaf: leaf[:SHOWN], params)
    vertices = np.asarray(mano.forward(model, first).vertices)
    pairs = [f"pair_{number:02d}.glb" for number in range(SHOWN)]
    with files.together(folder, [POSES, *pairs, SHEET]) as beside:
        files.write_npz(beside / POSES, params._asdict(), compressed=False)
        for name, pair in zip(pairs, vertices, strict=False):
            hands = overlay.hand_meshes(model, pair, np.ones(2, bool))
            meshes.write_glb(beside / name, hands, [f"{side}_hand" for side in SIDES])
        sheet = Image.fromarray(contact_sheet.pair_sheet(model, vertices))
        sheet.save(beside / SHEET)
    return [folder / name for name in (POSES, *pairs[: len(vertices)], SHEET)]
