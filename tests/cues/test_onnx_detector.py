"""Detectors in ONNX files: tiny models made here, with and without what is expected."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cues.rtmdet_layout import SIDE, write_model, write_pipeline
from twohand_jax.cues import onnx_detector
from twohand_jax.cues.onnx_detector import OnnxDetector, OnnxDetectorConfig
from twohand_jax.errors import InputError, MissingDependencyError

DETS = np.array(
    [[8, 10, 40, 60, 0.6], [100, 20, 150, 80, 0.9], [9, 11, 41, 61, 0.5]]
    + [[0, 0, 9, 9, 0.1]],
    np.float32,
)
LABELS = np.array([0, 1, 0, 1])
SIZE = (160, 320)


def save(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    inputs: tuple[tuple[str, int, list], ...] = (
        ("input", TensorProto.FLOAT, [1, 3, *SIZE]),
    ),
    cut: dict[str, int] | None = None,
) -> Path:
    """A model that answers with constants whatever it is shown.

    Args:
        path: file to write.
        outputs: the answers.
        inputs: names, types and shapes.
        cut: axis of an answer that is as long as the input is high, so that the file
            does not tell its shape.
    """
    nodes, values = [], []
    for name, array in outputs.items():
        value = numpy_helper.from_array(array)
        axis = (cut or {}).get(name)
        if axis is None:
            nodes.append(helper.make_node("Constant", [], [name], value=value))
        else:
            nodes += _cut(name, value, axis)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        shape = [None if i == axis else n for i, n in enumerate(array.shape)]
        values.append(helper.make_tensor_value_info(name, kind, shape))
    given = [helper.make_tensor_value_info(*one) for one in inputs]
    graph = helper.make_graph(nodes, "detector", given, values)
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, path)
    return path


def _cut(name: str, value: onnx.TensorProto, axis: int) -> list[onnx.NodeProto]:
    numbers = {"zero": [0], "two": [2], "three": [3], "axis": [axis]}
    nodes = [
        helper.make_node("Constant", [], [name + key], value_ints=number)
        for key, number in numbers.items()
    ]
    ends, axes = [name + "two", name + "three"], name + "axis"
    return [
        *nodes,
        helper.make_node("Constant", [], [name + "all"], value=value),
        helper.make_node("Shape", ["input"], [name + "shape"]),
        helper.make_node("Slice", [name + "shape", *ends], [name + "high"]),
        helper.make_node(
            "Slice", [name + "all", name + "zero", name + "high", axes], [name]
        ),
    ]


def picture(height: int = 320, width: int = 320) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


FORMS = {
    "dets and labels": {"dets": DETS[None], "labels": LABELS[None]},
    "other names": {"boxes": DETS[None], "classes": LABELS[None]},
    "more outputs": {
        "masks": np.zeros((1, 4, 2, 2), np.float32),
        "labels": LABELS[None],
        "dets": DETS[None],
    },
    "before suppression": {
        "scores": np.where(LABELS[:, None] == [0, 1], DETS[:, 4:], 0.0)[None],
        "boxes": DETS[None, :, :4],
    },
    "one with classes": {"out": np.column_stack([DETS, LABELS])[None].astype("f4")},
    "one without": {"out": DETS[None]},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_boxes(tmp_path, form) -> None:
    detector = OnnxDetector(save(tmp_path / "m.onnx", FORMS[form]))
    found = detector(picture())
    # A picture twice as high as the input: its pixels are half as large there.
    expected = np.array([[100, 20, 150, 80], [8, 10, 40, 60]]) * 2 - 0.5
    np.testing.assert_allclose(found.boxes, expected)
    np.testing.assert_allclose(found.scores, [0.9, 0.6])
    np.testing.assert_array_equal(found.sides, [-1, -1])


OPEN = (("input", TensorProto.FLOAT, ["n", 3, "height", "width"]),)


def test_open_shapes_take_the_configured_size(tmp_path) -> None:
    path = save(tmp_path / "m.onnx", FORMS["one without"], inputs=OPEN)
    found = OnnxDetector(path, OnnxDetectorConfig(size=64))(picture(640, 320))
    np.testing.assert_allclose(found.boxes[-1], [79.5, 99.5, 319.5, 599.5])


def test_classes_can_be_hands_and_sides(tmp_path) -> None:
    path = save(tmp_path / "m.onnx", FORMS["dets and labels"])
    found = OnnxDetector(path, OnnxDetectorConfig(sides=(0, 1)))(picture())
    np.testing.assert_array_equal(found.sides, [1, 0])
    found = OnnxDetector(path, OnnxDetectorConfig(classes=(0,)))(picture())
    np.testing.assert_allclose(found.scores, [0.6])


def test_boxes_end_where_the_picture_ends(tmp_path) -> None:
    dets = np.array([[[-30, 5, 400, 90, 0.9], [50, 50, 50, 90, 0.9]]], np.float32)
    found = OnnxDetector(save(tmp_path / "m.onnx", {"out": dets}))(picture(80, 320))
    np.testing.assert_allclose(found.boxes, [[-0.5, 4.5, 319.5, 79.5]])


def test_values_that_are_not_finite_are_dropped(tmp_path) -> None:
    dets = np.array([[[np.nan, 0, 9, 9, 0.9], [0, 0, 9, 9, np.inf]]], np.float32)
    found = OnnxDetector(save(tmp_path / "m.onnx", {"out": dets}))(picture())
    assert found.boxes.shape == (0, 4)


def test_letterbox_keeps_the_shape_and_the_order_of_channels() -> None:
    image = np.zeros((100, 50, 3), np.uint8)
    image[..., 0] = 200  # red
    config = OnnxDetectorConfig(mean=(0, 0, 100), std=(1, 1, 2), padding=7)
    blob, scale = onnx_detector.letterbox(image, (200, 300), config)
    assert blob.shape == (1, 3, 200, 300) and blob.dtype == np.float32
    np.testing.assert_allclose(scale, [2, 2])
    np.testing.assert_allclose(blob[0, :, 50, 99], [0, 0, 50])
    np.testing.assert_allclose(blob[0, :, 50, 100], [7, 7, -46.5])
    rgb = OnnxDetectorConfig(mean=(0, 0, 0), std=(1, 1, 1), is_bgr=False)
    np.testing.assert_allclose(
        onnx_detector.letterbox(image, (50, 50), rgb)[0][0, :, 5, 5], [200, 0, 0]
    )


def test_suppression_keeps_the_surest_of_each_heap() -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 60, (30, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (30, 2))], axis=1)
    scores = rng.uniform(size=30)
    kept = onnx_detector.suppress(boxes, scores, max_iou=0.3)
    assert scores[kept].tolist() == sorted(scores[kept], reverse=True)

    def iou(one: np.ndarray, other: np.ndarray) -> float:
        side = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        shared = np.prod(np.maximum(side, 0))
        areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
        return shared / (sum(areas) - shared)

    for index in range(30):
        surer = [k for k in kept if scores[k] > scores[index]]
        hidden = any(iou(boxes[index], boxes[k]) > 0.3 for k in surer)
        assert (index in kept) != hidden


FLOAT = TensorProto.FLOAT
OTHER_INPUTS = {
    "two inputs": (("a", FLOAT, [1, 3, 64, 64]), ("b", FLOAT, [1])),
    "grey": (("a", FLOAT, [1, 1, 64, 64]),),
    "channels last": (("a", FLOAT, [1, 64, 64, 3]),),
    "bytes": (("a", TensorProto.UINT8, [1, 3, 64, 64]),),
    "a batch": (("a", FLOAT, [8, 3, 64, 64]),),
    "flat": (("a", FLOAT, [1, 3]),),
}
OTHER_OUTPUTS = {
    "heat maps": {"heat": np.zeros((1, 21, 8, 8), np.float32)},
    "all anchors": {"out": np.zeros((1, 100, 7), np.float32)},
    "three": {name: DETS[None] for name in "abc"},
    "scores without classes": {
        "boxes": DETS[None, :, :4],
        "scores": DETS[None, :, 4],
    },
}


@pytest.mark.parametrize("case", OTHER_INPUTS)
def test_other_inputs_are_refused(tmp_path, case) -> None:
    path = save(tmp_path / "m.onnx", FORMS["one without"], inputs=OTHER_INPUTS[case])
    message = r"m\.onnx is not a detector .* it takes a tensor.*float32 \(1, 3, height"
    with pytest.raises(InputError, match=message):
        OnnxDetector(path)


@pytest.mark.parametrize("case", OTHER_OUTPUTS)
def test_other_outputs_are_refused(tmp_path, case) -> None:
    path = save(tmp_path / "m.onnx", OTHER_OUTPUTS[case])
    name = next(iter(OTHER_OUTPUTS[case]))
    with pytest.raises(InputError, match=rf"it gives {name} tensor.*dets \(1, n, 5\)"):
        OnnxDetector(path)


def test_an_answer_of_another_shape_is_refused(tmp_path) -> None:
    path = save(tmp_path / "a.onnx", FORMS["one without"], inputs=OPEN, cut={"out": 2})
    with pytest.raises(InputError, match=r"answered with .* shape \(1, 4, 4\)"):
        OnnxDetector(path, OnnxDetectorConfig(size=4))(picture())
    both = FORMS["dets and labels"]
    path = save(tmp_path / "b.onnx", both, inputs=OPEN, cut={"labels": 1})
    with pytest.raises(InputError, match=r"4 boxes but labels of shape \(1, 2\)"):
        OnnxDetector(path, OnnxDetectorConfig(size=2))(picture())


def test_what_is_no_model_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="There is no detector file"):
        OnnxDetector(tmp_path / "absent.onnx")
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\x00words" * 20)
    with pytest.raises(InputError, match=r"garbage\.onnx cannot be loaded as an ONNX"):
        OnnxDetector(garbage)


def test_without_onnxruntime_the_way_out_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'twohand_jax\[onnx"):
        OnnxDetector(tmp_path / "m.onnx")


def hands_picture() -> tuple[np.ndarray, np.ndarray]:
    """A picture of two red squares, the first one brighter, and their boxes."""
    image = np.full((480, 640, 3), 60, np.uint8)
    corners = np.array([[96, 112], [400, 304]])
    for (x, y), red in zip(corners, (255, 235), strict=True):
        image[y : y + SIDE, x : x + SIDE] = (red, 0, 0)
        image[y : y + SIDE, x + 2 * SIDE : x + 3 * SIDE] = (0, 0, 255)  # no hand
    return image, np.concatenate([corners, corners + SIDE], axis=1) - 0.5


@pytest.mark.parametrize("layout", ["static", "dynamic", "partition"])
@pytest.mark.parametrize("is_described", [False, True])
def test_rtmdet_hand_as_mmdeploy_exports_it(tmp_path, layout, is_described) -> None:
    path = write_model(tmp_path / "end2end.onnx", layout)
    if is_described:
        write_pipeline(tmp_path)
    image, expected = hands_picture()
    found = OnnxDetector(path)(image)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-3)
    assert found.scores[0] > found.scores[1] > 0.5
    np.testing.assert_array_equal(found.sides, [-1, -1])


def test_a_picture_without_hands_has_no_boxes(tmp_path) -> None:
    for layout in ("static", "partition"):
        path = write_model(tmp_path / f"{layout}.onnx", layout)
        assert OnnxDetector(path)(picture()).boxes.shape == (0, 4)


def test_the_description_beside_the_model_is_followed(tmp_path) -> None:
    path = write_model(tmp_path / "end2end.onnx", "dynamic")
    write_pipeline(
        tmp_path, size=[64, 64], mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True, fill=7
    )
    config = OnnxDetector(path).config
    assert (config.size, config.mean, config.std) == (64, (1, 2, 3), (4, 5, 6))
    assert not config.is_bgr and config.padding == 7
    assert OnnxDetector(path, OnnxDetectorConfig()).config == OnnxDetectorConfig()


@pytest.mark.parametrize(
    "change",
    [
        {"size": [320, 640]},
        {"size": 8},
        {"size": 10**9},
        {"keep_ratio": False},
        {"mean": [1, 2]},
        {"std": [0, 1, 1]},
        {"std": [float("nan"), 1, 1]},
        {"fill": [0, 1, 2]},
        {"size": "large"},
        {"mean": None},
    ],
    ids=str,
)
def test_descriptions_that_cannot_be_followed_are_refused(tmp_path, change) -> None:
    path = write_model(tmp_path / "end2end.onnx", "static")
    write_pipeline(tmp_path, **change)
    with pytest.raises(InputError, match=r"pipeline\.json") as caught:
        OnnxDetector(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pipeline": []}', "{"])
def test_damaged_descriptions_are_refused(tmp_path, content) -> None:
    path = write_model(tmp_path / "end2end.onnx", "static")
    (tmp_path / "pipeline.json").write_text(content)
    with pytest.raises(InputError, match=r"pipeline\.json"):
        OnnxDetector(path)


def test_boxes_and_scores_that_do_not_belong_together_are_refused(tmp_path) -> None:
    outputs = {
        "boxes": DETS[None, :, :4],
        "scores": np.zeros((1, 3, 1), np.float32),
    }
    path = save(tmp_path / "m.onnx", outputs)
    with pytest.raises(InputError, match=r"boxes of shape \(1, 4, 4\) and scores of"):
        OnnxDetector(path)(picture())
