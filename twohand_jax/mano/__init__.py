"""The hand model: arrays, loading, forward pass, joint sets, mirroring."""

from twohand_jax.mano import joint_set, joints, params, topology
from twohand_jax.mano.forward import forward, forward_matrices, forward_side
from twohand_jax.mano.loading import load, save
from twohand_jax.mano.params import mirror, to_camera, zeros

__all__ = [
    "forward",
    "forward_matrices",
    "forward_side",
    "joint_set",
    "joints",
    "load",
    "mirror",
    "params",
    "save",
    "to_camera",
    "topology",
    "zeros",
]
