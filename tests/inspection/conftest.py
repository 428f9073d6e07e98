"""The record sets of ``tests/data``."""

from tests.data.conftest import (
    consistent_rows,
    consistent_set,
    fields,
    hand_model,
    record_set,
)

__all__ = ["consistent_rows", "consistent_set", "fields", "hand_model", "record_set"]
