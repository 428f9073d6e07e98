"""ONNX files in the layouts in which MMDeploy exports RTMDet-hand.

The network is made by hand: where a square of the picture is red, there is a hand.
Inputs, outputs, names and the suppression in the graph are MMDeploy's.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT, STRIDE, SIDE = 320, 8, 64  # of the input, its cells, and a hand in the picture
MEAN, STD = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
SHRUNK = 2  # how many times as large as the input the test's picture is


def write_model(path: Path, layout: str) -> Path:
    """Write a detector.

    Args:
        path: of the file.
        layout: "static" or "dynamic" sizes with suppression in the graph, or
            "partition": with any size, cut off before the suppression.
    """
    cells = INPUT // STRIDE
    sizes = [1, 3, INPUT, INPUT]
    if layout != "static":
        sizes = ["batch", 3, "height", "width"]
    nodes = _scored(cells)
    if layout == "partition":
        outputs = {"scores": (TensorProto.FLOAT, ["batch", "num_boxes", 1])}
        outputs["boxes"] = (TensorProto.FLOAT, ["batch", "num_boxes", 4])
        nodes.append(helper.make_node("Identity", ["priors"], ["boxes"]))
    else:
        outputs = {"dets": (TensorProto.FLOAT, ["batch", "num_dets", 5])}
        outputs["labels"] = (TensorProto.INT64, ["batch", "num_dets"])
        nodes += _suppressed()
    graph = helper.make_graph(
        nodes,
        "rtmdet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(name, *of) for name, of in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in _constants(cells)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def write_pipeline(folder: Path, **changes: Any) -> Path:
    """MMDeploy's description of the steps before the network.

    Args:
        folder: of the model.
        changes: of size, keep_ratio, fill, mean, std or to_rgb.
    """
    has = {
        "size": [INPUT, INPUT],
        "keep_ratio": True,
        "fill": [114, 114, 114],
        "mean": MEAN,
        "std": STD,
        "to_rgb": False,
    } | changes
    resize = {"type": "Resize", "keep_ratio": has["keep_ratio"], "size": has["size"]}
    pad = {"type": "Pad", "size": has["size"], "pad_val": {"img": has["fill"]}}
    norm = {name: has[name] for name in ("mean", "std", "to_rgb")}
    steps = [
        {"type": "LoadImageFromFile", "backend_args": None},
        resize,
        pad,
        {"type": "Normalize", **norm},
        {"type": "Pad", "size_divisor": 1},
        {"type": "DefaultFormatBundle"},
        {"type": "Collect", "keys": ["img"], "meta_keys": ["img_shape"]},
    ]
    net = {"type": "Task", "module": "Net", "name": "rtmdet"}
    end = {"type": "Task", "module": "mmdet", "component": "ResizeBBox"}
    start = {"type": "Task", "module": "Transform", "transforms": steps}
    path = folder / "pipeline.json"
    path.write_text(json.dumps({"pipeline": {"tasks": [start, net, end]}}))
    return path


def _scored(cells: int) -> list[onnx.NodeProto]:
    """Scores ``(1, n, 1)`` of all cells: how red the square about each one is."""
    side = SIDE // SHRUNK
    node = helper.make_node
    return [
        node("Conv", ["input", "red"], ["redness"]),
        node(
            "AveragePool",
            ["redness"],
            ["means"],
            kernel_shape=[side, side],
            strides=[STRIDE, STRIDE],
            pads=[0, 0, side - STRIDE, side - STRIDE],
        ),
        node("Add", ["means", "threshold"], ["above"]),
        node("Mul", ["above", "gain"], ["logits"]),
        node("Sigmoid", ["logits"], ["heat"]),
        node("Reshape", ["heat", "flat"], ["scores"]),
    ]


def _suppressed() -> list[onnx.NodeProto]:
    """MMDeploy's end of the graph: suppression, and a row of zeros behind the rest."""
    node = helper.make_node
    return [
        node("Transpose", ["scores"], ["by_class"], perm=[0, 2, 1]),
        node("NonMaxSuppression", ["priors", "by_class", "most", "iou", "low"], ["at"]),
        node("Gather", ["at", "column"], ["box_at"], axis=1),
        node("Gather", ["at", "class_column"], ["class_at"], axis=1),
        node("Squeeze", ["box_at"], ["index"], axes=[1]),
        node("Gather", ["priors", "index"], ["kept"], axis=1),
        node("Gather", ["scores", "index"], ["kept_scores"], axis=1),
        node("Concat", ["kept", "kept_scores"], ["found"], axis=2),
        node("Concat", ["found", "no_row"], ["dets"], axis=1),
        node("Transpose", ["class_at"], ["classes"], perm=[1, 0]),
        node("Concat", ["classes", "no_class"], ["labels"], axis=1),
    ]


def _constants(cells: int) -> list[tuple[str, np.ndarray]]:
    ticks = np.arange(cells, dtype=np.float32) * STRIDE
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    low = np.stack([x.ravel(), y.ravel()], axis=1)
    priors = np.concatenate([low, low + SIDE // SHRUNK], axis=1)[None]
    red = np.array([-1.0, -1.0, 1.0], np.float32)  # of blue, green, red
    # Of what a square of pure red and one of a little less are after normalising.
    values = (np.array([0.0, 0.0, 235.0]) - MEAN) / STD
    return [
        ("red", red.reshape(1, 3, 1, 1)),
        ("threshold", np.array([0.3 - values @ red], np.float32)),
        ("gain", np.array([4.0], np.float32)),
        ("flat", np.array([1, -1, 1])),
        ("priors", priors),
        ("most", np.array([100])),
        ("iou", np.array([0.01], np.float32)),
        ("low", np.array([0.05], np.float32)),
        ("column", np.array([2])),
        ("class_column", np.array([1])),
        ("no_row", np.zeros((1, 1, 5), np.float32)),
        ("no_class", np.zeros((1, 1), np.int64)),
    ]
