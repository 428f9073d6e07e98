"""Hand boxes by a detector exported to ONNX, such as RTMDet-hand through MMDeploy.

The model has one input, float32 ``(1, 3, h, w)``, and gives boxes x0, y0, x1, y1 in the
pixels of that input in one of four forms:

    dets (1, n, 5) with scores, labels (1, n)      what MMDeploy writes
    boxes (1, n, 4), scores (1, n, classes)        the same, partitioned before NMS
    one output (1, n, 6)                           box, score, class
    one output (1, n, 5)                           box, score; one class

Other boxes of a hand are suppressed here where the model has not done it. The picture
is shrunk or enlarged to fit, laid into the upper left corner and padded. Its size,
colours and padding are those of the ``pipeline.json`` that MMDeploy writes beside the
model (``--dump-info``), and otherwise those of RTMDet-hand.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from twohand_jax import extras, paths, reading
from twohand_jax.cues.palm import box_iou
from twohand_jax.errors import InputError

UNKNOWN_SIDE = -1
FORMS = (
    "dets (1, n, 5) + labels (1, n), boxes (1, n, 4) + scores (1, n, classes), or one "
    "output (1, n, 6) or (1, n, 5)"
)
PIPELINE = "pipeline.json"


class HandBoxes(NamedTuple):
    """Boxes that a detector found, the most certain first.

    Attributes:
        boxes: x0, y0, x1, y1 in pixels of the picture, with pixel centres at integers.
        scores: probability of a hand.
        sides: 0 right, 1 left, -1 if the detector does not know.
    """

    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, "n"]
    sides: Int[np.ndarray, "n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxDetectorConfig:
    """Settings that an ONNX file does not contain; defaults as RTMDet-hand in MMPose.

    Attributes:
        size: side of the input in pixels, for models that take any size.
        mean: mean that is subtracted, 0 to 255, in the order of channels.
        std: deviation that pixels are then divided by.
        is_bgr: whether channels are blue, green, red.
        padding: value of pixels outside the picture, before mean and std.
        min_score: lowest score of a hand.
        nms_iou: overlap above which only the most certain of two boxes is kept.
        classes: classes that are hands; every class if empty.
        sides: side (0 right, 1 left) of each class; empty if classes have no side.
        num_threads: threads of onnxruntime; 0 for all.
    """

    size: int = 320
    mean: tuple[float, float, float] = (103.53, 116.28, 123.675)
    std: tuple[float, float, float] = (57.375, 57.12, 58.395)
    is_bgr: bool = True
    padding: int = 114
    min_score: float = 0.3
    nms_iou: float = 0.6
    classes: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    num_threads: int = 0


class OnnxDetector:
    """A detector file as a function of a picture.

    Attributes:
        path: the file.
        config: see ``OnnxDetectorConfig``.
    """

    def __init__(
        self, path: str | Path, config: OnnxDetectorConfig | None = None
    ) -> None:
        """Load the file and check that it is such a detector.

        Args:
            path: the file.
            config: settings; None for those of the ``pipeline.json`` beside it.

        Raises:
            MissingDependencyError: onnxruntime is not installed.
            InputError: the file is missing, no ONNX model, or has other inputs or
                outputs; or the file beside it asks for something else.
        """
        self.path = paths.local(path)
        threads = 0 if config is None else config.num_threads
        self._session = _session(self.path, threads)
        self.config = config_beside(self.path) if config is None else config
        self._input, self._shape = self._check_input()
        self._outputs = self._check_outputs()

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> HandBoxes:
        """Hands of an RGB picture.

        Raises:
            InputError: the model fails, or its output is not as documented.
        """
        blob, scale = letterbox(image, self._shape, self.config)
        try:
            values = self._session.run(list(self._outputs), {self._input: blob})
        except Exception as error:  # onnxruntime's errors share no better base
            raise InputError(
                f"The detector {self.path} fails on a picture of "
                f"{image.shape[1]} x {image.shape[0]} pixels: {_line(error)}"
            ) from error
        rows = self._rows([np.asarray(value) for value in values])
        return _in_picture(rows, scale, image.shape[:2], self.config)

    def _check_input(self) -> tuple[str, tuple[int, int]]:
        """Name of the input, and its height and width."""
        found = self._session.get_inputs()
        first = found[0] if len(found) == 1 else None
        shape = list(first.shape) if first else []
        is_open = [not isinstance(length, int) or length < 1 for length in shape]
        if (
            first is None
            or first.type != "tensor(float)"
            or len(shape) != 4
            or not (is_open[0] or shape[0] == 1)
            or not (is_open[1] or shape[1] == 3)
        ):
            raise InputError(
                f"{self.path} is not a detector that can be used: it takes "
                f"{_signature(found)}, but one input of float32 (1, 3, height, width) "
                "is expected."
            )
        size = self.config.size
        sides = zip(shape[2:], is_open[2:], strict=True)
        height, width = (size if free else length for length, free in sides)
        return first.name, (height, width)

    def _check_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that count."""
        found = self._session.get_outputs()
        by_name = {output.name: output for output in found}
        if {"dets", "labels"} <= by_name.keys():
            pair = [by_name["dets"], by_name["labels"]]
        elif by_name.keys() == {"boxes", "scores"}:
            pair = [by_name["boxes"], by_name["scores"]]
            if _fits(pair[0].shape, (4,)) and len(pair[1].shape) == 3:
                return "boxes", "scores"
        else:
            pair = list(found)
        widths = (5,) if len(pair) == 2 else (5, 6)
        is_fit = len(pair) in (1, 2) and _fits(pair[0].shape, widths)
        if len(pair) == 2:
            is_fit = is_fit and len(pair[1].shape) == 2
        if not is_fit:
            raise InputError(
                f"{self.path} is not a detector that can be used: it gives "
                f"{_signature(found)}, but {FORMS} is expected, boxes x0, y0, x1, y1 "
                "in pixels of the input. Export it with MMDeploy (docs/cues.md)."
            )
        return tuple(output.name for output in pair)

    def _rows(self, values: Sequence[np.ndarray]) -> Float32[np.ndarray, "n 6"]:
        """Boxes, scores and classes as one table."""
        if self._outputs == ("boxes", "scores"):
            values = self._best_classes(*values)
        dets = values[0]
        if dets.ndim != 3 or dets.shape[0] != 1 or dets.shape[2] not in (5, 6):
            raise InputError(
                f"The detector {self.path} answered with an array of shape "
                f"{dets.shape}; {FORMS} is expected."
            )
        rows = dets[0].astype(np.float32)
        if len(values) == 2 and values[1].shape != dets.shape[:2]:
            raise InputError(
                f"The detector {self.path} answered with {dets.shape[1]} boxes but "
                f"labels of shape {values[1].shape}."
            )
        if rows.shape[1] == 5:
            labels = values[1][0] if len(values) == 2 else np.zeros(len(rows))
            rows = np.column_stack([rows, labels.astype(np.float32)])
        return rows[np.isfinite(rows).all(axis=1)]

    def _best_classes(
        self, boxes: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with their highest score, and its class, as MMDeploy's NMS gives."""
        if boxes.shape[2:] != (4,) or scores.shape[:2] != boxes.shape[:2]:
            raise InputError(
                f"The detector {self.path} answered with boxes of shape {boxes.shape} "
                f"and scores of shape {scores.shape}; (1, n, 4) and (1, n, classes) "
                "are expected."
            )
        best = scores.max(axis=2, keepdims=True, initial=0.0)
        labels = scores.argmax(axis=2) if scores.shape[2] else np.zeros(best.shape[:2])
        return np.concatenate([boxes, best], axis=2), labels


def config_beside(path: Path) -> OnnxDetectorConfig:
    """The settings of the ``pipeline.json`` beside a model; the defaults without one.

    Raises:
        InputError: the file is damaged, or asks for what is not done here.
    """
    file = path.parent / PIPELINE
    if not file.is_file():
        return OnnxDetectorConfig()
    content = reading.read_object(file, limit=reading.SETTINGS_BYTES)
    try:
        tasks = content["pipeline"]["tasks"]
        (steps,) = [t["transforms"] for t in tasks if t.get("module") == "Transform"]
        by_type = {step["type"]: step for step in reversed(steps)}
        resize, norm = by_type["Resize"], by_type["Normalize"]
        sides = {int(side) for side in np.ravel(resize["size"])}
        fill = by_type.get("Pad", {}).get("pad_val", OnnxDetectorConfig.padding)
        fill = fill["img"] if isinstance(fill, dict) else fill
        fills = {int(value) for value in np.ravel(fill)}
        mean, std = (tuple(map(float, norm[name])) for name in ("mean", "std"))
        is_bgr = not norm["to_rgb"]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} is not MMDeploy's description of a detector ({error!r}): write it "
            "anew with --dump-info, or take it away for the settings of RTMDet-hand."
        ) from error
    finite = np.isfinite([*mean, *std]).all() and len(mean) == len(std) == 3
    fits = len(sides) == len(fills) == 1 and resize.get("keep_ratio", False)
    if not (finite and fits and min(std) > 0 and 32 <= min(sides) <= 4096):
        raise InputError(
            f"{file} asks for what is not done here: expected are pictures resized to "
            "a square of 32 to 4096 pixels with their proportions kept, one grey of "
            "padding, and three finite means and positive deviations; export the model "
            "with a static square input and take the file away."
        )
    (size,), (padding,) = sides, fills
    mean3, std3 = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
    return OnnxDetectorConfig(
        size=size, mean=mean3, std=std3, is_bgr=is_bgr, padding=padding
    )


def letterbox(
    image: UInt8[np.ndarray, "h w 3"],
    shape: tuple[int, int],
    config: OnnxDetectorConfig,
) -> tuple[Float32[np.ndarray, "1 3 H W"], Float[np.ndarray, "2"]]:
    """A picture as the model's input, and input pixels per picture pixel (x, y)."""
    height, width = image.shape[:2]
    factor = min(shape[0] / height, shape[1] / width)
    columns = min(shape[1], max(1, round(width * factor)))
    rows = min(shape[0], max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    sheet = np.full((*shape, 3), config.padding, np.float32)
    sheet[:rows, :columns] = cv2.resize(image, (columns, rows), interpolation=way)
    if config.is_bgr:
        sheet = sheet[..., ::-1]
    sheet = (sheet - np.asarray(config.mean)) / np.asarray(config.std)
    blob = np.ascontiguousarray(sheet.transpose(2, 0, 1)[None], np.float32)
    return blob, np.array([columns / width, rows / height])


def suppress(
    boxes: Float32[np.ndarray, "n 4"],
    scores: Float32[np.ndarray, "n"],
    *,
    max_iou: float,
) -> list[int]:
    """Numbers of the boxes that stay, surest first (greedy suppression)."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if not kept or box_iou(boxes[index], boxes[kept]).max() <= max_iou:
            kept.append(index)
    return kept


def _in_picture(
    rows: Float32[np.ndarray, "n 6"],
    scale: Float[np.ndarray, "2"],
    shape: tuple[int, int],
    config: OnnxDetectorConfig,
) -> HandBoxes:
    """The hands among the rows, in pixels of the picture and inside of it."""
    height, width = shape
    # The input's left edge is 0, ours lies at -0.5.
    boxes = rows[:, :4] / np.tile(scale, 2).astype(np.float32) - 0.5
    edges = np.array([width, height, width, height], np.float32) - 0.5
    boxes = np.clip(boxes, -0.5, edges)
    classes = rows[:, 5].astype(int)
    good = (rows[:, 4] >= config.min_score) & (boxes[:, 2:] > boxes[:, :2] + 1).all(1)
    if config.classes:
        good &= np.isin(classes, config.classes)
    boxes, scores, classes = boxes[good], rows[good, 4], classes[good]
    kept = suppress(boxes, scores, max_iou=config.nms_iou)
    known = dict(enumerate(config.sides))
    sides = [known.get(int(classes[index]), UNKNOWN_SIDE) for index in kept]
    return HandBoxes(boxes[kept], scores[kept], np.array(sides, int))


def _session(path: Path, num_threads: int) -> Any:
    instead = "leave --detector out to find hands with MediaPipe's networks"
    with extras.needed_for("A detector in an ONNX file needs", "onnx", instead=instead):
        import onnxruntime
    if not path.is_file():
        raise InputError(f"There is no detector file {path}; give an ONNX file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # onnxruntime's errors share no better base
        raise InputError(
            f"{path} cannot be loaded as an ONNX model: {_line(error)}"
        ) from error


def _fits(shape: Sequence[Any], widths: tuple[int, ...]) -> bool:
    """Whether an output may be ``(1, n, w)`` with one of the widths."""
    if len(shape) != 3:
        return False
    return not isinstance(shape[2], int) or shape[2] in widths


def _signature(values: Sequence[Any]) -> str:
    named = [f"{one.name} {one.type} {tuple(one.shape)}" for one in values]
    return ", ".join(named) or "nothing"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
