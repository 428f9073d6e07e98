import threading

import numpy as np
import pytest

from tests.data.records import example
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data import decode, schema

SIZES = [(64, 64), (40, 64), (64, 40), (48, 90), (130, 64), (128, 128)]


def _rows(examples: list[dict]) -> decode.Rows:
    fields = {
        name: np.array([e[name] for e in examples], _dtype(name))
        for name in schema.BY_NAME
        if name in examples[0]
    }
    count = len(examples)
    return decode.Rows(fields, np.arange(count), np.ones(count, bool))


def _dtype(name: str) -> type:
    feature = schema.BY_NAME[name]
    return feature.dtype if feature.encoding is schema.Encoding.TENSOR else object


@pytest.fixture
def rows() -> decode.Rows:
    rng = np.random.default_rng(0)
    return _rows([example("a", height, width, rng) for height, width in SIZES])


def _decoded(rows: decode.Rows, **canvas: float) -> decode.Batch:
    config = CanvasConfig(**{"size": 64} | canvas)
    (batch,) = decode.batches([rows], config=config, workers=2, report=_refuse)
    return batch


def _refuse(record: int, problem: str) -> None:
    raise AssertionError(problem)


def test_what_the_record_calls_its_picture_reaches_the_labels(
    rows: decode.Rows,
) -> None:
    rows.fields["hand_type"][:2] = [b"right", b"interacting"]
    rows.fields["hands/valid"][1] = [True, False]
    targets = decode.read_targets(rows.fields)
    assert targets.interacting[:2].tolist() == [False, True]


def test_fast_and_plain_decoding_agree(
    rows: decode.Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, through kept memory and from OpenCV: the same batch for any size."""
    pytest.importorskip("simplejpeg")
    fast = _decoded(rows)
    monkeypatch.setattr(decode, "_simplejpeg", None)
    plain = _decoded(rows)
    np.testing.assert_array_equal(fast.canvas, plain.canvas)
    for name, expected in plain.cues.values.items():
        np.testing.assert_array_equal(fast.cues.values[name], expected)
    for row, (height, width) in enumerate(SIZES[:3]):
        picture = decode.decode_jpeg(rows.fields["image"][row])
        np.testing.assert_array_equal(fast.canvas[row, :height, :width], picture)
        assert not fast.canvas[row, height:].any()
        assert not fast.canvas[row, :, width:].any()


def test_hands_too_fine_for_their_crops_are_shrunk(
    rows: decode.Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of pictures that were decoded onto the canvas itself."""
    pytest.importorskip("simplejpeg")
    fine, whole = _decoded(rows, crop_size=4), _decoded(rows)
    monkeypatch.setattr(decode, "_simplejpeg", None)
    plain = _decoded(rows, crop_size=4)
    np.testing.assert_array_equal(fine.canvas, plain.canvas)
    scale = fine.T_canvas_image[:, 0, 0]
    sides = np.ptp(rows.fields["hands/box"].reshape(-1, 2, 2, 2), axis=2).max(axis=-1)
    finest = 2.0 * sides.min(axis=-1) * scale / 4
    assert (finest < 3.01).all() and (scale < 0.5).all()
    for name in ("segmentation", "depth"):
        seen = (fine.cues.values[name] > 0).sum(axis=(1, 2))
        expected = (whole.cues.values[name] > 0).sum(axis=(1, 2))
        expected = expected * (scale / whole.T_canvas_image[:, 0, 0]) ** 2
        np.testing.assert_allclose(seen, expected, rtol=0.35)


def test_depth_lies_on_the_segmentation(rows: decode.Rows) -> None:
    cues = _decoded(rows).cues.values
    np.testing.assert_array_equal(cues["depth"] > 0, cues["segmentation"] > 0)


@pytest.mark.parametrize("names", [(), ("depth",), ("keypoints", "segmentation")])
def test_only_cues_that_are_asked_for_are_decoded(rows: decode.Rows, names) -> None:
    """A broken map of another kind is not looked at."""
    whole = _decoded(rows).cues
    for name in {"segmentation", "depth"} - set(names):
        rows.fields[f"cues/{name}"][0] = b"no map"
    config = CanvasConfig(size=64)
    (batch,) = decode.batches(
        [rows], config=config, cues=names, workers=1, report=_refuse
    )
    assert tuple(batch.cues.values) == tuple(batch.cues.present) == names
    for name in names:
        np.testing.assert_array_equal(batch.cues.values[name], whole.values[name])
        assert batch.cues.present[name].all()


def test_a_broken_picture_leaves_an_empty_row(rows: decode.Rows) -> None:
    """Half of a JPEG with the wrong map beside it: nothing of it stays."""
    rows.fields["cues/segmentation"][0] = decode.encode_map(np.ones((5, 5), np.uint8))
    problems = {}
    (batch,) = decode.batches(
        [rows],
        config=CanvasConfig(size=64),
        workers=1,
        report=lambda record, problem: problems.update({record: problem}),
    )
    assert list(problems) == [0] and "5 x 5" in problems[0]
    assert batch.weight.tolist() == [0, 1, 1, 1, 1, 1]
    assert not batch.canvas[0].any() and batch.canvas[1].any()


def test_threads_end_with_the_stream(rows: decode.Rows) -> None:
    before = threading.active_count()
    stream = decode.batches(
        iter([rows] * 5), config=CanvasConfig(size=64), workers=2, report=_refuse
    )
    next(stream)
    stream.close()
    assert threading.active_count() == before
