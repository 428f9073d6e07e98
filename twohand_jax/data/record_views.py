"""Pictures of records: which ones to show, and each as a strip of panels."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int, UInt8

from twohand_jax import mano
from twohand_jax.data import images
from twohand_jax.data.decode import Fields
from twohand_jax.data.geometry_errors import belongs_to
from twohand_jax.data.inspection import text
from twohand_jax.errors import InputError
from twohand_jax.types import Camera, ManoModel, ManoParams
from twohand_jax.viz import contact_sheet
from twohand_jax.viz.contact_sheet import RecordView
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import Mesh

_forward = jax.jit(mano.forward)


class Strip(NamedTuple):
    """The panels of a record and what to say of it."""

    image: UInt8[np.ndarray, "h w 3"]
    caption: str


def spread(count: int, total: int) -> Int[np.ndarray, "n"]:
    """Numbers of at most ``count`` of ``total`` records, evenly over all of them."""
    shown = min(count, total)
    return (np.arange(shown) + 0.5) * total // max(shown, 1)


def strip(fields: Fields, row: int, model: ManoModel) -> Strip:
    """A record as ``contact_sheet.PANELS``; without the pictures that don't decode."""
    names = ("image_id", "subset", "hand_type")
    caption = ", ".join(filter(None, (text(fields[name][row]) for name in names)))
    return Strip(contact_sheet.panels(view(fields, row, model)), caption)


def view(fields: Fields, row: int, model: ManoModel) -> RecordView:
    """What is drawn of a record; a hand model of another name is not posed."""
    image = _picture(fields, row)
    labels = _map(fields, "segmentation", row, image.shape[:2])
    levels = _map(fields, "depth", row, image.shape[:2])
    return RecordView(
        image=image,
        box=fields["hands/box"][row],
        hand_valid=fields["hands/valid"][row] > 0,
        joints_px=fields["hands/joints_2d"][row],
        joints_valid=fields["hands/joints_2d_valid"][row] > 0,
        meshes=_meshes(fields, row, model),
        camera=Camera(fields["camera/focal"][row], fields["camera/center"][row]),
        keypoints=fields["cues/keypoints"][row]
        if fields["cues/has_keypoints"][row]
        else None,
        segmentation=labels,
        depth=None
        if levels is None
        else images.depth_from_levels(
            levels,
            scale=float(fields["cues/depth_scale"][row]),
            offset=float(fields["cues/depth_offset"][row]),
        ),
    )


def _picture(fields: Fields, row: int) -> UInt8[np.ndarray, "h w 3"]:
    try:
        return images.decode_jpeg(fields["image"][row])
    except InputError:
        return np.zeros((256, 256, 3), np.uint8)


def _map(
    fields: Fields, cue: str, row: int, shape: tuple[int, ...]
) -> np.ndarray | None:
    """The cue's map; None if it is absent, does not decode or has another size."""
    if not fields[f"cues/has_{cue}"][row]:
        return None
    try:
        values = images.decode_map(fields[f"cues/{cue}"][row])
    except InputError:
        return None
    return values if values.shape == shape else None


def _meshes(fields: Fields, row: int, model: ManoModel) -> list[Mesh]:
    present = (fields["mano/valid"][row] > 0) & belongs_to(fields, model)[row]
    if not (present.any() and fields["camera/valid"][row]):
        return []
    params = ManoParams(*(fields[f"mano/{n}"][row] for n in ManoParams._fields))
    vertices = np.asarray(_forward(model, params).vertices)
    return hand_meshes(model, vertices, present)
