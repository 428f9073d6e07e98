"""From parsed records to a batch: decode the pictures, lay them on their canvas."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from twohand_jax.data import canvas, images
from twohand_jax.data.canvas import CanvasConfig
from twohand_jax.errors import InputError
from twohand_jax.types import Batch, Camera, Cues, ManoParams, Targets

Fields = Mapping[str, np.ndarray]


class Rows(NamedTuple):
    """Parsed records: features by name with a leading batch axis, pictures encoded.

    ``records`` are their numbers in the split; rows that are not ``usable`` hold none.
    """

    fields: Fields
    records: np.ndarray
    usable: np.ndarray


class Pending(NamedTuple):
    """A batch whose pictures are being decoded, and the problems of its rows."""

    batch: Batch
    filled: np.ndarray
    problems: Iterator[str | None]


def start(rows: Rows, *, config: CanvasConfig, pool: ThreadPoolExecutor) -> Pending:
    """Begin to decode records into one batch of host arrays.

    Args:
        rows: parsed records; those not usable get weight 0.
        config: size and coverage of the canvas.
        pool: decodes in its threads (OpenCV releases the interpreter lock).
    """
    fields, records, usable = rows
    count, size = len(records), config.size
    out = Batch(
        canvas=np.zeros((count, size, size, 3), np.uint8),
        T_canvas_image=np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
        cues=_cues(fields, count, size),
        targets=_targets(fields),
        weight=usable.astype(np.float32),
        record=records.astype(np.int32),
    )
    filled = np.flatnonzero(usable)
    problems = pool.map(lambda row: _fill(out, fields, row, config), filled)
    return Pending(out, filled, problems)


def finish(pending: Pending, report: Callable[[int, str], None]) -> Batch:
    """Wait for a batch.

    Args:
        pending: from ``start``.
        report: called with a record's number and a sentence when its picture does not
            decode; if it returns, the row gets weight 0.
    """
    out = pending.batch
    for row, problem in zip(pending.filled, pending.problems, strict=True):
        if problem:
            report(int(out.record[row]), problem)
            out.weight[row] = 0.0
    return out


def _fill(out: Batch, fields: Fields, row: int, config: CanvasConfig) -> str | None:
    """Decode one row in place; what went wrong, or None."""
    try:
        image = images.decode_jpeg(fields["image"][row])
        height, width = image.shape[:2]
        window = canvas.place(
            height,
            width,
            fields["hands/box"][row],
            fields["hands/valid"][row].astype(bool),
            config=config,
        )
        canvas.cut(image, window, out.canvas[row], nearest=False)
        out.T_canvas_image[row] = window.T_canvas_image(config.size)
        _fill_maps(out.cues, fields, row, window, (height, width))
    except InputError as error:
        return str(error)
    return None


def _fill_maps(
    cues: Cues,
    fields: Fields,
    row: int,
    window: canvas.Window,
    shape: tuple[int, int],
) -> None:
    if cues.has_segmentation[row]:
        labels = _map(fields, "segmentation", row, shape)
        canvas.cut(labels, window, cues.segmentation[row], nearest=True)
    if cues.has_depth[row]:
        levels = np.zeros(cues.depth[row].shape, np.uint16)
        canvas.cut(_map(fields, "depth", row, shape), window, levels, nearest=True)
        images.depth_from_levels(
            levels,
            scale=float(fields["cues/depth_scale"][row]),
            offset=float(fields["cues/depth_offset"][row]),
            out=cues.depth[row],
        )


def _map(fields: Fields, cue: str, row: int, shape: tuple[int, int]) -> np.ndarray:
    values = images.decode_map(fields[f"cues/{cue}"][row])
    if values.shape != shape:
        raise InputError(
            f"The {cue} map is {values.shape[1]} x {values.shape[0]} pixels, but its "
            f"picture is {shape[1]} x {shape[0]}."
        )
    return values


def _cues(fields: Fields, count: int, size: int) -> Cues:
    return Cues(
        keypoints=fields["cues/keypoints"],
        segmentation=np.zeros((count, size, size), np.uint8),
        depth=np.zeros((count, size, size), np.float32),
        has_keypoints=fields["cues/has_keypoints"].astype(bool),
        has_segmentation=fields["cues/has_segmentation"].astype(bool),
        has_depth=fields["cues/has_depth"].astype(bool),
    )


def _targets(fields: Fields) -> Targets:
    return Targets(
        camera=Camera(focal=fields["camera/focal"], center=fields["camera/center"]),
        camera_valid=fields["camera/valid"].astype(bool),
        box=fields["hands/box"],
        hand_valid=fields["hands/valid"].astype(bool),
        joints_2d=fields["hands/joints_2d"],
        joints_2d_valid=fields["hands/joints_2d_valid"].astype(bool),
        joints_3d=fields["hands/joints_3d"],
        joints_3d_valid=fields["hands/joints_3d_valid"].astype(bool),
        mano=ManoParams(
            global_orient=fields["mano/global_orient"],
            hand_pose=fields["mano/hand_pose"],
            betas=fields["mano/betas"],
            transl=fields["mano/transl"],
        ),
        mano_valid=fields["mano/valid"].astype(bool),
        rel_trans=fields["rel_trans"],
        rel_trans_valid=fields["rel_trans_valid"].astype(bool),
    )
