"""Prints protocol wrist's figures of a padded batch split over four devices."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.evaluation import golden
from twohand_jax.evaluation.protocols import numbers
from twohand_jax.evaluation.two_hands import wrist

if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 4
    prediction, targets, model, weight = golden.rows(golden.case(), 0, 7, 8)
    split = NamedSharding(mesh, PartitionSpec("data"))
    batch = jax.device_put((prediction, targets, weight), split)
    model = jax.device_put(model, NamedSharding(mesh, PartitionSpec()))
    found = jax.jit(wrist)(batch[0], batch[1], model, batch[2])
    for name, value in numbers(jax.device_get(found)).items():
        print(name, repr(value))
