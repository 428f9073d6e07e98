"""From a stored record back to the flat example that it was written from."""

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from twohand_jax.data import schema
from twohand_jax.errors import InputError


def read_record(payload: bytes) -> dict[str, object]:
    """The flat example of a record; written again, it gives the same bytes.

    Pictures and maps stay encoded.

    Raises:
        InputError: it is no record of this schema.
    """
    try:
        message = tf_example_pb2.Example.FromString(payload)
    except DecodeError as error:
        raise InputError("The record is no tf.train.Example.") from error
    stored = message.features.feature
    missing = sorted(schema.BY_NAME.keys() - stored.keys())
    if missing:
        raise InputError(f"The record lacks the features {missing}.")
    example = {one.name: _value(one, stored[one.name]) for one in schema.FEATURES}
    schema.check_version(int(np.asarray(example["schema_version"])), where="The record")
    return example


def _value(feature: schema.Feature, stored: Any) -> object:
    kind = stored.WhichOneof("kind")
    values = getattr(stored, kind).value if kind else []
    if feature.encoding is not schema.Encoding.TENSOR:
        if kind != "bytes_list" or len(values) != 1:
            raise InputError(
                f"Feature {feature.name!r} of the record is no single text or file."
            )
        is_text = feature.encoding is schema.Encoding.TEXT
        return values[0].decode() if is_text else values[0]
    wanted = "float_list" if feature.dtype is np.float32 else "int64_list"
    if kind != wanted or len(values) != feature.size:
        raise InputError(
            f"Feature {feature.name!r} of the record holds {len(values)} values in "
            f"{kind}; {feature.size} in {wanted} are expected."
        )
    shape = [length or 0 for length in feature.shape]
    return np.array(values, feature.dtype).reshape(shape)
