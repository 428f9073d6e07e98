"""InterWild's BoxNet: the boxes of a person's two hands (Moon, CVPR 2023)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.models.heads import sample
from twohand_jax.models.layers import BatchNorm, Conv, Deconv, linear
from twohand_jax.models.resnet import RESNET50, ResNetConfig

MOST_PX = 2048  # sides of the network's picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxNetConfig:
    """Sizes of the network; the defaults are InterWild's.

    Attributes:
        image: backbone of the picture.
        width: channels of the maps in which hands are found.
        deconvs: number of transposed convolutions, each of which doubles the map.
        height: of the network's picture, pixels.
        columns: width of the network's picture, pixels.
    """

    image: ResNetConfig = RESNET50
    width: int = 256
    deconvs: int = 3
    height: int = 256
    columns: int = 192

    def __post_init__(self) -> None:
        side = fields.Range(low=1, high=MOST_PX)
        fields.check(
            self,
            width=fields.COUNT,
            deconvs=fields.Range(low=1, high=5),
            height=side,
            columns=side,
        )
        for name in ("height", "columns"):
            if getattr(self, name) % self.image.stride:
                raise fields.error(
                    self,
                    name,
                    f"is {getattr(self, name)}; it must be a multiple of the stride "
                    f"{self.image.stride} of image.",
                )

    @property
    def cell_px(self) -> float:
        """Pixels of the network's picture for each cell of its maps."""
        return self.image.stride / 2**self.deconvs


class HandCells(NamedTuple):
    """Boxes of the right and the left hand, x and y in cells of the map.

    Attributes:
        center: middle of each box; cell 0 is at pixel 0 of the picture.
        extent: width and height of each box.
        score: share of the heat map at the middle, 0 to 1.
    """

    center: Float[Array, "b 2 2"]
    extent: Float[Array, "b 2 2"]
    score: Float[Array, "b 2"]


class BoxNet(nnx.Module):
    """A person's picture to the boxes of both hands."""

    def __init__(self, config: BoxNetConfig, *, rngs: nnx.Rngs):
        dtype, width = jnp.dtype("float32"), config.width
        self.image = config.image.build(dtype=dtype, rngs=rngs)
        inputs = [config.image.channels, *[width] * (config.deconvs - 1)]
        self.deconvs = nnx.List(
            [Deconv(channels, width, dtype=dtype, rngs=rngs) for channels in inputs]
        )
        self.norms = nnx.List(
            [BatchNorm(width, dtype=dtype, rngs=rngs) for _ in inputs]
        )
        self.center = Conv(width, 2, 1, bias=True, dtype=dtype, rngs=rngs)
        self.hidden = nnx.List([linear(width, width, rngs=rngs) for _ in range(2)])
        self.extent = nnx.List([linear(width, 2, rngs=rngs) for _ in range(2)])

    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> HandCells:
        """Both hands of each picture, RGB in [0, 1]; there are always two."""
        x = self.image(image, frozen=not train)
        for deconv, norm in zip(self.deconvs, self.norms, strict=True):
            x = jax.nn.relu(norm(deconv(x), use_running_average=not train))
        batch, height, width, _ = x.shape
        logits = self.center(x).reshape(batch, height * width, 2)
        heat = jax.nn.softmax(logits, axis=1).reshape(batch, height, width, 2)
        across = jnp.einsum("bhwk,w->bk", heat, jnp.arange(width, dtype=heat.dtype))
        down = jnp.einsum("bhwk,h->bk", heat, jnp.arange(height, dtype=heat.dtype))
        center = jnp.stack([across, down], axis=-1)
        seen = sample(x, jax.lax.stop_gradient(center))
        extent = [
            grow(jax.nn.relu(hide(seen[:, hand])))
            for hand, (hide, grow) in enumerate(
                zip(self.hidden, self.extent, strict=True)
            )
        ]
        scores = sample(heat, center)
        return HandCells(
            center=center,
            extent=jnp.stack(extent, axis=1),
            score=jnp.diagonal(scores, axis1=1, axis2=2),
        )
