"""One of Sapiens' networks on all devices, fed in batches of one size."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, UInt8

from twohand_jax.cues import sapiens_decode, sapiens_input
from twohand_jax.models.apply import Variables
from twohand_jax.models.sapiens_config import POSE, SEGMENTATION, SapiensConfig
from twohand_jax.weights import sapiens as weights
from twohand_jax.weights.sapiens import Loaded

AXIS = "data"


class Runner:
    """A network with its decoding as one compiled program.

    Attributes:
        config: of the network.
        origin: which weights it has.
        size: height and width of its input.
    """

    def __init__(
        self, loaded: Loaded, *, batch: int, devices: Sequence[jax.Device]
    ) -> None:
        """Place the weights on all devices, in the dtype of the activations.

        Args:
            loaded: the network.
            batch: pictures on each device at a time.
            devices: each takes its part of every batch.
        """
        mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        everywhere = NamedSharding(mesh, PartitionSpec())
        split = NamedSharding(mesh, PartitionSpec(AXIS))
        self.config, self.origin = loaded.config, loaded.origin
        self.size = loaded.config.image
        self._count = batch * len(devices)
        self._variables = jax.device_put(
            _cast(loaded.variables, loaded.config), everywhere
        )
        self._program = jax.jit(
            _look(loaded.config), in_shardings=(everywhere, split), out_shardings=split
        )

    def __call__(
        self, inputs: Sequence[UInt8[np.ndarray, "h w 3"]]
    ) -> list[Float[np.ndarray, "..."]]:
        """What the network says about each input (``sapiens_decode``, or the depth).

        The last batch is filled up with black pictures.
        """
        running = []
        for start in range(0, len(inputs), self._count):
            part = np.zeros((self._count, *self.size, 3), np.uint8)
            for row, picture in enumerate(inputs[start : start + self._count]):
                part[row] = picture
            running.append(self._program(self._variables, part))
        found = [row for batch in running for row in np.asarray(batch)]
        return found[: len(inputs)]


def _cast(variables: Variables, config: SapiensConfig) -> Variables:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, config.dtype), variables)


def _look(config: SapiensConfig) -> Callable[[Variables, Array], Array]:
    """Pixels to what is needed of the maps."""
    network = weights.network(config)

    def look(
        variables: Variables, pictures: UInt8[Array, "b h w 3"]
    ) -> Float[Array, "b ..."]:
        maps, _ = network.apply(variables, sapiens_input.normalise(pictures))
        if config.kind == POSE:
            return sapiens_decode.decode_keypoints(maps, config.image)
        if config.kind == SEGMENTATION:
            return sapiens_decode.hand_margins(maps)
        return maps

    return look
