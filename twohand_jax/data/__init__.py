"""Record sets and pose sets: reading, mixing, and batches on the devices.

TensorFlow is loaded when a reader is first used.
"""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.data.batching import Prefetcher, pad, to_global
    from twohand_jax.data.mixture import Mixture
    from twohand_jax.data.poses import PairBatch, PoseSetInfo
    from twohand_jax.data.shards import open_split, read_info, split_names
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

__all__ = [
    "Mixture",
    "PairBatch",
    "PoseSetInfo",
    "Prefetcher",
    "Reader",
    "ReaderConfig",
    "open_split",
    "pad",
    "read_info",
    "split_names",
    "to_global",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "batching": ("Prefetcher", "pad", "to_global"),
            "mixture": ("Mixture",),
            "poses": ("PairBatch", "PoseSetInfo"),
            "shards": ("open_split", "read_info", "split_names"),
            "tfrecord": ("Reader", "ReaderConfig"),
        },
    )
