"""The record as TFDS features, made from ``twohand_jax.data.schema``."""

from collections.abc import Mapping

import tensorflow_datasets as tfds

from twohand_jax.data import schema


def features_dict() -> tfds.features.FeaturesDict:
    """The record as a nested ``FeaturesDict``; a slash in a name is one level."""
    leaves = {feature.name: _connector(feature) for feature in schema.FEATURES}
    return tfds.features.FeaturesDict(nest(leaves))


def nest(flat: Mapping[str, object]) -> dict[str, object]:
    """Nested dictionaries from names with slashes."""
    nested: dict = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return nested


def _connector(feature: schema.Feature) -> tfds.features.FeatureConnector:
    if feature.encoding is schema.Encoding.TEXT:
        return tfds.features.Text(doc=feature.doc)
    if feature.encoding is schema.Encoding.TENSOR:
        return tfds.features.Tensor(
            shape=feature.shape, dtype=feature.dtype, doc=feature.doc
        )
    return tfds.features.Image(
        shape=feature.shape,
        dtype=feature.dtype,
        encoding_format=feature.encoding.value,
        doc=feature.doc,
    )
