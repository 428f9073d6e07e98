"""The files of one picture, or of samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from twohand_jax import files, mano
from twohand_jax.inference.output_folder import OutputFolder
from twohand_jax.types import SIDES, ManoModel, ManoParams, Prediction
from twohand_jax.viz import contact_sheet, meshes, overlay, skinned_glb


def endings(max_people: int) -> tuple[str, ...]:
    """Of all files that a picture may have."""
    surfaces = [
        surface(person, side)
        for person in range(max_people)
        for side in range(len(SIDES))
    ]
    return (".json", *surfaces, ".glb", "_overlay.png")


def surface(person: int, side: int) -> str:
    """The ending of a hand's surface; the number of the first person is left out.

    The number comes last: before the side, the file could be that of another picture
    whose name ends in a number.
    """
    number = f"_{person + 1}" if person else ""
    return f"_{SIDES[side]}{number}.obj"


def write(
    beside: Path,
    name: str,
    content: dict[str, Any],
    people: Sequence[Prediction],
    model: ManoModel,
    drawing: UInt8[np.ndarray, "h w 3"],
) -> None:
    """Write a picture's files.

    Args:
        beside: folder to write in.
        name: stem of the files.
        content: from ``result_file.to_json``.
        people: each without batch axis.
        model: of the predictions.
        drawing: the picture to look at.
    """
    files.write_json(beside / f"{name}.json", content)
    hands: list[skinned_glb.SkinnedHand] = []
    for person, prediction in enumerate(people):
        vertices = np.asarray(prediction.geometry.vertices)
        there = np.flatnonzero(np.asarray(prediction.score) > 0).tolist()
        for side in there:
            path = beside / f"{name}{surface(person, side)}"
            meshes.write_obj(path, vertices[side], np.asarray(model.faces[side]))
        own = skinned_glb.hands(model, prediction.mano, vertices, there)
        number = f"_{person + 1}" if person else ""
        hands += [
            hand._replace(name=hand.name.replace("_hand", f"{number}_hand"))
            for hand in own
        ]
    if hands:
        (beside / f"{name}.glb").write_bytes(skinned_glb.glb(hands))
    Image.fromarray(drawing).save(beside / f"{name}_overlay.png", compress_level=4)


SHOWN = 16
POSES, SHEET = "poses.npz", "contact_sheet.png"


def write_samples(
    folder: str | Path,
    model: ManoModel,
    params: ManoParams,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write pairs of hands, and remove the files of earlier samples.

    Args:
        folder: folder of the files, made if missing.
        model: hand model.
        params: parameters with one leading axis, metres. All go into ``poses.npz``;
            the first 16 get a mesh and a tile on the sheet.
        overwrite: whether files that no earlier run made may be replaced.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written, or holds other files of these names.
    """
    output = OutputFolder(folder, overwrite=overwrite)
    first = jax.tree.map(lambda leaf: leaf[:SHOWN], params)
    vertices = np.asarray(mano.forward(model, first).vertices)
    pairs = [f"pair_{number:02d}.glb" for number in range(SHOWN)]
    names = [POSES, *pairs, SHEET]
    output.refuse_others(names)
    output.prepare()
    with output.writing("samples", names, {}, kind="prior sample") as beside:
        files.write_npz(beside / POSES, params._asdict(), compressed=False)
        for name, pair in zip(pairs, vertices, strict=False):
            hands = overlay.hand_meshes(model, pair, np.ones(2, bool))
            meshes.write_glb(beside / name, hands, [f"{side}_hand" for side in SIDES])
        sheet = Image.fromarray(contact_sheet.pair_sheet(model, vertices))
        sheet.save(beside / SHEET)
    return output.written("samples", kind="prior sample")
