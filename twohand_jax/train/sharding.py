"""Where arrays live: one mesh of data × fsdp devices for every scale of hardware."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

DATA, FSDP = "data", "fsdp"


def make_mesh(*, fsdp: int = 1, devices: list[jax.Device] | None = None) -> Mesh:
    """All devices as a data × fsdp grid."""
    devices = jax.devices() if devices is None else devices
    if len(devices) % fsdp:
        raise ValueError(
            f"{len(devices)} devices do not divide into groups of fsdp={fsdp}; "
            "set train.fsdp to a divisor of the number of devices."
        )
    shape = (len(devices) // fsdp, fsdp)
    return jax.make_mesh(
        shape, (DATA, FSDP), axis_types=(AxisType.Auto,) * 2, devices=devices
    )


def batch(mesh: Mesh) -> NamedSharding:
    """Batches are split over all devices along their first axis."""
    return NamedSharding(mesh, PartitionSpec((DATA, FSDP)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array everywhere."""
    return NamedSharding(mesh, PartitionSpec())


def state(mesh: Mesh, shapes: PyTree, *, minimum: int = 2**16) -> PyTree[NamedSharding]:
    """Shardings of a train state.

    Arrays of at least ``minimum`` numbers are split over fsdp along their largest axis
    that divides; everything else is replicated.
    """
    groups = mesh.shape[FSDP]

    def place(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [a for a, n in enumerate(leaf.shape) if n % groups == 0]
        if groups == 1 or not axes or np.prod(leaf.shape) < minimum:
            return replicated(mesh)
        longest = max(axes, key=lambda a: leaf.shape[a])
        spec = [FSDP if a == longest else None for a in range(len(leaf.shape))]
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(place, shapes)


def places(tree: PyTree[jax.Array]) -> PyTree[jax.sharding.Sharding]:
    """Where the arrays of a tree live."""
    return jax.tree.map(lambda leaf: leaf.sharding, tree)


def gather(tree: PyTree) -> PyTree[np.ndarray]:
    """Whole arrays on the host of every process, wherever their parts are.

    All processes must call it.
    """

    def whole(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def local(tree: PyTree) -> PyTree[np.ndarray]:
    """The rows of a batch that this process holds."""

    def rows(leaf: jax.Array) -> np.ndarray:
        parts = {str(part.index): part for part in leaf.addressable_shards}
        ordered = sorted(parts.values(), key=lambda part: part.index[0].start or 0)
        return np.concatenate([np.asarray(part.data) for part in ordered])

    return jax.tree.map(rows, tree)


def settle(mesh: Mesh, values: PyTree) -> None:
    """Wait for a step where several in flight could wait for each other for ever.

    Collectives of CPU devices share one pool of threads; XLA deadlocks when steps
    overlap on few cores. Accelerators run on undisturbed.
    """
    if mesh.size > 1 and mesh.devices.flat[0].platform == "cpu":
        jax.block_until_ready(values)
