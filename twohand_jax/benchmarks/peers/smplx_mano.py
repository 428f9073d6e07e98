"""The hand model in PyTorch: ``smplx.MANO`` with the arrays of a ``ManoModel``."""

import logging
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import smplx
import torch
from jaxtyping import Array, Bool, Float

from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import LEFT, NUM_VERTICES, RIGHT, ManoModel, ManoParams


def module(model: ManoModel, side: int = RIGHT) -> Any:
    """A hand of the model as ``smplx.MANO``."""

    def own(array: Array) -> np.ndarray:
        return np.asarray(array[side], np.float64)

    fields = {
        "v_template": own(model.template),
        "f": np.asarray(model.faces[side], np.uint32),
        "shapedirs": own(model.shapedirs),
        "posedirs": own(model.posedirs),
        "J_regressor": own(model.joint_regressor),
        "weights": own(model.weights),
        "kintree_table": np.array([PARENTS, range(16)]),
        "hands_components": own(model.pose_components),
        "hands_mean": own(model.pose_mean).reshape(45),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "MANO_RIGHT.pkl"
        path.write_bytes(pickle.dumps(fields))
        return smplx.MANO(str(path), use_pca=False, flat_hand_mean=False)


def programs(
    model: ManoModel, arrays: list[np.ndarray], *, compiled: bool, threads: int
) -> dict[str, Callable[[], None]]:
    """Right hands from axis-angle to vertices and joints, and back to the parameters.

    Args:
        model: whose right hand is posed.
        arrays: global orientation, hand pose, shape and translation, a row a hand.
        compiled: whether through ``torch.compile``.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    # smplx indexes with tensors, which breaks its graph: known, and told at length.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    hand = module(model)
    names = ("global_orient", "hand_pose", "betas", "transl")
    leaves = {
        name: torch.tensor(array, requires_grad=True)
        for name, array in zip(names, arrays, strict=True)
    }
    call: Any = torch.compile(hand) if compiled else hand

    def forward() -> None:
        with torch.no_grad():
            call(**leaves)

    def backward() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        out = call(**leaves)
        (out.vertices.square().sum() + out.joints.square().sum()).backward()

    return {"forward": forward, "forward+backward": backward}


def poser(
    model: ManoModel, threads: int
) -> Callable[[ManoParams, Bool[np.ndarray, "2"]], Float[np.ndarray, "2 778 3"]]:
    """Poses the hands of one picture that have a fit; the other one is zeros."""
    torch.set_num_threads(threads)
    modules = [module(model, side) for side in (RIGHT, LEFT)]

    @torch.no_grad()
    def pose(hands: ManoParams, fitted: np.ndarray) -> np.ndarray:
        vertices = np.zeros((2, NUM_VERTICES, 3), np.float32)
        for side in np.flatnonzero(fitted):
            given = {
                name: torch.tensor(leaf[side].reshape(1, -1))
                for name, leaf in hands._asdict().items()
            }
            vertices[side] = modules[side](**given).vertices[0].numpy()
        return vertices

    return pose
