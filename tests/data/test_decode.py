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


def _decoded(rows: decode.Rows, workers: int = 2) -> decode.Batch:
    (batch,) = decode.batches(
        [rows], config=CanvasConfig(size=64), workers=workers, report=_refuse
    )
    return batch


def _refuse(record: int, problem: str) -> None:
    raise AssertionError(problem)


def test_fast_and_plain_decoding_agree(
    rows: decode.Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, through kept memory and from OpenCV: the same batch for any size."""
    pytest.importorskip("simplejpeg")
    fast = _decoded(rows)
    monkeypatch.setattr(decode, "_simplejpeg", None)
    plain = _decoded(rows)
    np.testing.assert_array_equal(fast.canvas, plain.canvas)
    np.testing.assert_array_equal(fast.cues.depth, plain.cues.depth)
    np.testing.assert_array_equal(fast.cues.segmentation, plain.cues.segmentation)
    for row, (height, width) in enumerate(SIZES[:3]):
        picture = decode.decode_jpeg(rows.fields["image"][row])
        np.testing.assert_array_equal(fast.canvas[row, :height, :width], picture)
        assert not fast.canvas[row, height:].any()
        assert not fast.canvas[row, :, width:].any()


def test_depth_lies_on_the_segmentation(rows: decode.Rows) -> None:
    cues = _decoded(rows).cues
    np.testing.assert_array_equal(cues.depth > 0, cues.segmentation > 0)


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
