import io

import numpy as np

from twohand_jax.data import shards

PAYLOADS = [b"first", b"", bytes(range(256)) * 40, b"last"]


def _stream() -> bytes:
    return b"".join(shards.frame_record(payload) for payload in PAYLOADS)


def test_round_trip() -> None:
    found = list(shards.frames(_stream()))
    assert [frame.payload for frame in found] == PAYLOADS
    assert [frame.problem for frame in found] == [None] * 4
    lengths = [len(payload) + 16 for payload in PAYLOADS]
    assert [frame.offset for frame in found] == [0, *np.cumsum(lengths[:-1])]


def test_known_bytes() -> None:
    """A record as TensorFlow writes it (tf.io.TFRecordWriter().write(b"twohand"))."""
    written = "0700000000000000bbd79f1174776f68616e64e90f1c94"
    assert shards.frame_record(b"twohand").hex() == written


def test_damaged_payload_is_skipped_and_the_rest_is_read() -> None:
    data = bytearray(_stream())
    data[12] ^= 1
    found = list(shards.frames(bytes(data)))
    assert found[0].payload is None
    assert found[0].problem is not None and "checksum of the record" in found[0].problem
    assert [frame.payload for frame in found[1:]] == PAYLOADS[1:]


def test_damaged_length_ends_the_stream() -> None:
    data = bytearray(_stream())
    data[21] ^= 1  # the second record's length
    found = list(shards.frames(bytes(data)))
    assert len(found) == 2
    assert found[1].problem == "the checksum of the record's length is wrong"
    assert found[1].offset == 21


def test_every_truncation_is_noticed() -> None:
    data = _stream()
    ends = {frame.offset for frame in shards.frames(data)}
    for length in range(1, len(data), 97):
        problems = [frame.problem for frame in shards.frames(data[:length])]
        assert (problems[-1] is None) == (length in ends)


def test_offsets_are_those_of_the_frames() -> None:
    found = list(shards.offsets(io.BytesIO(_stream())))
    assert found == [frame.offset for frame in shards.frames(_stream())]


def test_offsets_end_where_a_length_is_damaged() -> None:
    data = bytearray(_stream())
    data[21] ^= 1  # the second record's length
    assert list(shards.offsets(io.BytesIO(data))) == [0, 21]
    assert list(shards.offsets(io.BytesIO(data[:25]))) == [0, 21]
