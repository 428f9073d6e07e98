"""The interface between the training loop and what is trained."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jax.sharding import NamedSharding
from jaxtyping import UInt8
from numpy import ndarray

from twohand_jax.data.batching import Prefetcher
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train.step import Loss


class Task(NamedTuple):
    """A network, its loss and its data.

    Attributes:
        network: pure functions of the network.
        loss: loss of one batch, see ``train.step``.
        constants: arrays that the loss needs and that are not trained (the hand model).
        batches: gives device batches with a sharding, beginning at any step, so that a
            resumed run continues exactly. Batches have a field ``record``.
        describe: names a record in messages.
        evaluate: computes metrics of averaged weights on held-out data, or None.
        pictures: draws a picture of what averaged weights predict, or None.
        adopt: puts pretrained weights into fresh ones, or None.
        unit: name of the things in a batch.
        records: what tells its records from others, by the config's field.
    """

    network: Network
    loss: Loss
    constants: Any
    batches: Callable[[int, NamedSharding], Prefetcher[Any]]
    describe: Callable[[int], str]
    evaluate: Callable[[Variables], dict[str, float]] | None = None
    pictures: Callable[[Variables], UInt8[ndarray, "h w 3"]] | None = None
    adopt: Callable[[Variables], Variables] | None = None
    unit: str = "img"
    records: Mapping[str, str] = MappingProxyType({})
