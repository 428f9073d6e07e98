"""The files of samples: poses, meshes of the first ones, and a sheet to look at."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from twohand_jax import mano
from twohand_jax.inference.result import prepare_folder
from twohand_jax.types import SIDES, ManoModel, ManoParams
from twohand_jax.viz import meshes, overlay, pairs

SHOWN = 16
POSES, SHEET = "poses.npz", "contact_sheet.png"


def write(folder: str | Path, model: ManoModel, params: ManoParams) -> list[Path]:
    """Write pairs of hands.

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
    poses = folder / POSES
    arrays: dict[str, Any] = jax.tree.map(np.asarray, params._asdict())
    np.savez(poses, **arrays)
    written = [poses]
    for number, pair in enumerate(vertices):
        path = folder / f"pair_{number:02d}.glb"
        hands = overlay.hand_meshes(model, pair, np.ones(2, bool))
        meshes.write_glb(path, hands, [f"{side}_hand" for side in SIDES])
        written.append(path)
    sheet = folder / SHEET
    Image.fromarray(pairs.sheet(model, vertices)).save(sheet)
    return [*written, sheet]
