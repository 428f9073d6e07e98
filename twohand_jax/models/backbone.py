"""The interface of backbone settings."""

import abc
import dataclasses
from typing import Any, ClassVar, TypeAlias

import jax.numpy as jnp
from flax import nnx

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Color: TypeAlias = tuple[float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig(abc.ABC):
    """Shape of a network from pictures to feature maps.

    Attributes:
        mean: mean of RGB in [0, 1] that is subtracted from pictures.
        std: deviation by which they are then divided.
    """

    mean: ClassVar[Color] = IMAGENET_MEAN
    std: ClassVar[Color] = IMAGENET_STD

    @property
    @abc.abstractmethod
    def stride(self) -> int:
        """Pixels of the picture, along an axis, for each cell of the map."""

    @property
    @abc.abstractmethod
    def channels(self) -> int:
        """Channels of the map."""

    @property
    def frozen(self) -> tuple[str, ...]:
        """Prefixes of the paths of parameters that are not trained."""
        return ()

    @abc.abstractmethod
    def build(self, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> Any:
        """The network, a function of pictures and ``frozen`` (see ``BatchNorm``)."""
