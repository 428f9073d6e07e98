"""The TFRecord file format without TensorFlow: framing, checksums, named damage.

A record is its length (8 bytes, little endian), the masked CRC-32C of those bytes,
the payload, and the payload's masked CRC-32C.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import google_crc32c

HEADER, FOOTER = 12, 4


class Frame(NamedTuple):
    """One record of a shard, or what is wrong with it."""

    offset: int
    payload: bytes | None
    problem: str | None


def frame(payload: bytes) -> bytes:
    """The payload as one TFRecord."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        [
            length,
            struct.pack("<I", _masked_crc(length)),
            payload,
            struct.pack("<I", _masked_crc(payload)),
        ]
    )


def frames(data: bytes) -> Iterator[Frame]:
    """The records of a shard's bytes.

    A damaged payload is reported and skipped; after a damaged length or a truncation
    the rest cannot be found, so that frame is the last.
    """
    offset = 0
    while offset < len(data):
        header = data[offset : offset + HEADER]
        if len(header) < HEADER:
            yield Frame(offset, None, "the file ends inside of a record's header")
            return
        length, checksum = struct.unpack("<QI", header)
        if _masked_crc(header[:8]) != checksum:
            yield Frame(offset, None, "the checksum of the record's length is wrong")
            return
        start = offset + HEADER
        end = start + length
        if end + FOOTER > len(data):
            yield Frame(offset, None, "the file ends inside of the record")
            return
        payload = data[start:end]
        (checksum,) = struct.unpack("<I", data[end : end + FOOTER])
        if _masked_crc(payload) == checksum:
            yield Frame(offset, payload, None)
        else:
            yield Frame(offset, None, "the checksum of the record is wrong")
        offset = end + FOOTER


def offsets(file: IO[bytes]) -> Iterator[int]:
    """Where the records of a shard begin, from their headers alone.

    The last one is where the file ends early or a length is damaged.
    """
    offset = 0
    while header := file.read(HEADER):
        yield offset
        if len(header) < HEADER:
            return
        length, checksum = struct.unpack("<QI", header)
        if _masked_crc(header[:8]) != checksum:
            return
        offset += HEADER + length + FOOTER
        file.seek(offset)


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
