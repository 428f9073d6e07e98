"""From parsed records to a batch: decode the pictures, lay them on their canvas."""

import collections
import importlib
import importlib.util
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from twohand_jax.crops import canvas, cue_table
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.crops.cue_table import CUE_KINDS, DEFAULT
from twohand_jax.data import schema
from twohand_jax.data.schema import RecordFields
from twohand_jax.errors import InputError
from twohand_jax.types import Batch, Camera, Cues, ManoParams, Targets

_ROWS_A_TASK = 4


class Rows(NamedTuple):
    """Parsed records: features by name with a leading batch axis, pictures encoded.

    ``records`` are their numbers in the split; rows that are not ``usable`` hold none.
    """

    fields: RecordFields
    records: np.ndarray
    usable: np.ndarray


class Pending(NamedTuple):
    """A batch whose pictures are being decoded, and the problems by row."""

    batch: Batch
    problems: list[Future[dict[int, str]]]


class Decoder:
    """Decodes batches in threads; use it as a context manager.

    Pictures that fit the canvas's width are decoded in place. Others go through memory
    that each thread keeps: fresh memory costs more than the copy.
    """

    def __init__(
        self, config: CanvasConfig, *, cues: Sequence[str] = DEFAULT, workers: int
    ) -> None:
        """Start the threads.

        Args:
            config: size and coverage of the canvas.
            cues: kinds of cues to decode.
            workers: threads; the decoders release the interpreter lock.
        """
        cv2.setNumThreads(1)  # threads are ours, one a picture
        self._config, self._names = config, tuple(cues)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._kept = threading.local()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *unused: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, rows: Rows) -> Pending:
        """Begin to decode records into one batch of host arrays.

        Rows that are not usable get weight 0.
        """
        fields, records, usable = rows
        count, size = len(records), self._config.size
        out = Batch(
            canvas=np.zeros((count, size, size, 3), np.uint8),
            T_canvas_image=np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
            cues=_cues(fields, self._names, count, size),
            targets=read_targets(fields),
            weight=usable.astype(np.float32),
            record=records.astype(np.int32),
        )
        filled = np.flatnonzero(usable)
        parts = range(0, len(filled), _ROWS_A_TASK)
        problems = [
            self._pool.submit(self._fill, out, fields, filled[at : at + _ROWS_A_TASK])
            for at in parts
        ]
        return Pending(out, problems)

    def _fill(
        self, out: Batch, fields: RecordFields, rows: np.ndarray
    ) -> dict[int, str]:
        """Decode rows in place; what went wrong, by row."""
        problems = {}
        for row in rows.tolist():
            try:
                window, shape = self._fill_picture(out, fields, row)
                _fill_maps(out.cues, fields, row, window, shape)
            except InputError as error:
                problems[row] = str(error)
                out.canvas[row] = 0
        return problems

    def _fill_picture(
        self, out: Batch, fields: RecordFields, row: int
    ) -> tuple[canvas.Window, tuple[int, int]]:
        """The window that was laid on the canvas, and the picture's size."""
        data, sheet = fields["image"][row], out.canvas[row]
        room = self._room(jpeg_size(data), sheet)
        image = decode_jpeg(data, out=room)
        height, width = image.shape[:2]
        boxes, valid = fields["hands/box"][row], fields["hands/valid"][row].astype(bool)
        schema.check_boxes(boxes, valid)
        window = canvas.place_canvas(height, width, boxes, valid, config=self._config)
        shares = np.may_share_memory(image, sheet)
        if shares and not window.is_unchanged(len(sheet)):
            image, shares = image.copy(), False
        if not shares:
            canvas.cut_canvas(image, window, sheet, nearest=False)
        out.T_canvas_image[row] = window.T_canvas_image(self._config.size)
        return window, (height, width)

    def _room(
        self, shape: tuple[int, int] | None, sheet: np.ndarray
    ) -> np.ndarray | None:
        """Memory for a picture: the canvas's own where the rows lie the same way."""
        if shape is None:
            return None
        height, width = shape
        if height <= sheet.shape[0] and width == sheet.shape[1]:
            return sheet
        kept: np.ndarray | None = getattr(self._kept, "memory", None)
        if kept is None or kept.size < 3 * height * width:
            kept = self._kept.memory = np.empty(3 * height * width, np.uint8)
        return kept


def batches(
    rows: Iterable[Rows],
    *,
    config: CanvasConfig,
    workers: int,
    report: Callable[[int, str], None],
    cues: Sequence[str] = DEFAULT,
) -> Iterator[Batch]:
    """Decode; one batch is on the way while another is handed out.

    Args:
        rows: parsed records.
        config: size and coverage of the canvas.
        cues: kinds of cues to decode.
        workers: decoding threads.
        report: see ``finish``.
    """
    ahead: collections.deque[Pending] = collections.deque()
    with Decoder(config, cues=cues, workers=workers) as decoder:
        for each in rows:
            ahead.append(decoder.start(each))
            if len(ahead) > 1:
                yield finish(ahead.popleft(), report)
        while ahead:
            yield finish(ahead.popleft(), report)


def finish(pending: Pending, report: Callable[[int, str], None]) -> Batch:
    """Wait for a batch.

    Args:
        pending: from ``Decoder.start``.
        report: called with a record's number and a sentence when its picture does not
            decode; if it returns, the row gets weight 0.
    """
    out = pending.batch
    for future in pending.problems:
        for row, problem in future.result().items():
            report(int(out.record[row]), problem)
            out.weight[row] = 0.0
    return out


def _fill_maps(
    cues: Cues,
    fields: RecordFields,
    row: int,
    window: canvas.Window,
    shape: tuple[int, int],
) -> None:
    for name, sheets in cues.values.items():
        storage = cue_table.map_storage(name)
        if storage is None or not cues.present[name][row]:
            continue
        levels, out = _map(fields, name, row, shape), sheets[row]
        if not storage.is_scaled:
            canvas.cut_canvas(levels, window, out, nearest=True)
            continue
        if window.is_unchanged(len(out)):
            out = out[: shape[0], : shape[1]]
        else:
            whole, levels = levels, np.empty(out.shape, levels.dtype)
            canvas.cut_canvas(whole, window, levels, nearest=True)
        scale, offset = storage.scale, storage.offset
        if scale is None:
            scale = float(fields[f"cues/{name}_scale"][row])
            offset = float(fields[f"cues/{name}_offset"][row])
        values_from_levels(levels, scale=scale, offset=offset, out=out)


def _map(
    fields: RecordFields, cue: str, row: int, shape: tuple[int, int]
) -> np.ndarray:
    values = decode_map(fields[f"cues/{cue}"][row])
    if values.shape != cue_table.shape_of(cue, *shape)[0]:
        raise InputError(
            f"The {cue} map is {values.shape[1]} x {values.shape[0]} pixels, but its "
            f"picture is {shape[1]} x {shape[0]}."
        )
    return values


def _cues(fields: RecordFields, names: Sequence[str], count: int, size: int) -> Cues:
    """Points as they are stored, blank canvases for maps, and every flag."""
    values = {}
    for name in names:
        shape, dtype = cue_table.shape_of(name, size, size)
        is_map = CUE_KINDS[name].is_map
        values[name] = (
            np.zeros((count, *shape), dtype) if is_map else fields[f"cues/{name}"]
        )
    present = {name: fields[f"cues/has_{name}"].astype(bool) for name in names}
    return Cues(values, present)


def read_targets(fields: RecordFields) -> Targets:
    """The labels of parsed records."""
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
        interacting=fields["hand_type"] == schema.INTERACTING.encode(),
        doubt=fields.get(schema.DOUBT.name),
    )


DEPTH_LEVELS = 1023
_FILTER = {
    np.dtype(np.uint8): cv2.IMWRITE_PNG_FILTER_NONE,
    np.dtype(np.uint16): cv2.IMWRITE_PNG_FILTER_UP,
}
_simplejpeg = (
    importlib.import_module("simplejpeg")
    if importlib.util.find_spec("simplejpeg")
    else None
)
_PICTURE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def encode_jpeg(image: np.ndarray, *, quality: int = 92) -> bytes:
    """JPEG of an RGB picture ``(h, w, 3)`` uint8."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def encode_map(values: np.ndarray) -> bytes:
    """PNG of a ``(h, w)`` or ``(h, w, 3)`` uint8 or uint16 map."""
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2BGR)
    settings = [
        cv2.IMWRITE_PNG_COMPRESSION,
        1,
        cv2.IMWRITE_PNG_FILTER,
        _FILTER[values.dtype],
    ]
    _, data = cv2.imencode(".png", values, settings)
    return data.tobytes()


def encode_cue(
    name: str, values: np.ndarray, foreground: np.ndarray
) -> dict[str, object]:
    """The value features of a cue that is a map (``schema.cue_features``).

    Args:
        name: of the cue.
        values: ``(h, w)`` or ``(h, w, c)`` in memory; relative depth in [0, 1].
        foreground: ``(h, w)`` bool; the rest is stored as 0.
    """
    storage = cue_table.map_storage(name)
    assert storage is not None, name
    if not storage.is_scaled:
        return {f"cues/{name}": encode_map(values)}
    scale, offset = storage.scale, storage.offset
    if scale is None:
        levels = np.rint(np.clip(values, 0.0, 1.0) * (DEPTH_LEVELS - 1)) + 1
    else:
        top = np.iinfo(storage.levels).max
        levels = np.clip(np.rint((values - offset) / scale), 1, top)
    shown = foreground if values.ndim == 2 else foreground[..., None]
    stored = encode_map(np.where(shown, levels, 0).astype(storage.levels))
    features: dict[str, object] = {f"cues/{name}": stored}
    if scale is None:
        features[f"cues/{name}_scale"] = np.float32(1.0 / DEPTH_LEVELS)
        features[f"cues/{name}_offset"] = np.float32(0.0)
    return features


def absent_cue(name: str) -> dict[str, object]:
    """All features of a cue that a record does not have."""
    features: dict[str, object] = {}
    for feature in schema.CUE_FEATURES[name]:
        if feature.encoding is schema.Encoding.TEXT:
            features[feature.name] = ""
        elif feature.encoding is schema.Encoding.PNG:
            shape, _ = cue_table.shape_of(name, 1, 1)
            features[feature.name] = encode_map(np.zeros(shape, feature.dtype))
        else:
            features[feature.name] = feature.zeros()
    return features


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width from the header; None for what only OpenCV may read."""
    if _simplejpeg is None:
        return None
    try:
        height, width, _, _ = _simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return height, width


def decode_jpeg(data: bytes, *, out: np.ndarray | None = None) -> np.ndarray:
    """RGB picture ``(h, w, 3)`` uint8, in the orientation in which it is stored.

    Args:
        data: the file.
        out: contiguous memory that is used for the result if it is large enough.

    Raises:
        InputError: no picture can be read from the data.
    """
    if _simplejpeg is not None:
        try:
            return _simplejpeg.decode_jpeg(data, buffer=out)
        except ValueError:  # another format, CMYK, or damage
            pass
    return _decode(data, _PICTURE, "picture")


def decode_map(data: bytes) -> np.ndarray:
    """The ``(h, w)`` or ``(h, w, 3)`` uint8 or uint16 map of a PNG."""
    values = _decode(data, cv2.IMREAD_UNCHANGED, "map")
    if values.ndim == 2:
        return values
    if values.shape[-1] != 3:
        raise InputError(
            f"A map has {values.shape[-1]} channels, expected one or three: it was not "
            "written by this project."
        )
    return cv2.cvtColor(values, cv2.COLOR_BGR2RGB)


def values_from_levels(
    levels: np.ndarray, *, scale: float, offset: float, out: np.ndarray | None = None
) -> np.ndarray:
    """Values of a stored map, float32: exactly 0 where nothing is stored.

    The smallest foreground value of a depth map is one level, so 0 always means
    background. The result is written into ``out`` if given.
    """
    values = np.multiply(levels, np.float32(scale), out=out, dtype=np.float32)
    if offset:
        values += np.float32(offset) * (levels > 0)
    return values


def _decode(data: bytes, flags: int, what: str) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"A stored {what} of {len(data)} bytes does not decode.")
    return image
