"""Refinement from the host: only the samples that need it are computed.

Most pictures need none, so the gate runs on the whole batch first. What is left is
gathered into chunks whose sizes are powers of two, so that few programs are compiled.
"""

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from twohand_jax.diffusion.gate import Status
from twohand_jax.diffusion.parts import PriorParts, check_hand_model
from twohand_jax.diffusion.refine import (
    RefineConfig,
    Refined,
    verdict,
)
from twohand_jax.diffusion.refine import refine as refine_all
from twohand_jax.errors import InputError
from twohand_jax.types import ManoModel, Prediction

_verdict = jax.jit(verdict, static_argnames="config")
_refine = jax.jit(refine_all, static_argnames="config")


def refine(
    prior: PriorParts,
    model: ManoModel,
    prediction: Prediction,
    key: Key[Array, ""],
    *,
    config: RefineConfig,
    keypoints: Float[Array, "n 2 21 3"] | None = None,
    visible: Float[Array, "n 2"] | None = None,
    chunk: int = 64,
) -> Refined:
    """``refine.refine`` over one batch axis, compiled, where it is needed.

    Args:
        prior: its ``denoise`` must be a ``jax.tree_util.Partial``.
        model: two-hand model.
        prediction: both hands in the camera.
        key: another one is derived from it for each chunk.
        config: how.
        keypoints: as in ``refine.refine``.
        visible: as in ``refine.refine``.
        chunk: most samples at a time.

    Returns:
        Host arrays.
    """
    if chunk < 1:
        raise InputError(f"Chunks of {chunk} samples hold none; give at least 1.")
    check_hand_model(prior, model)
    case = jax.tree.map(np.array, (prediction, keypoints, visible))
    before = _verdict(model, case[0], config=config, keypoints=case[1], visible=case[2])
    status, reference, depth = jax.tree.map(np.array, before)
    refined = Refined(case[0], status, reference, depth, depth.copy())
    needed = np.flatnonzero(status == Status.REFINED)
    for number, start in enumerate(range(0, len(needed), chunk)):
        rows = needed[start : start + chunk]
        given = _rows(case, _padded(rows, chunk))
        part = _refine(
            prior,
            model,
            given[0],
            jax.random.fold_in(key, number),
            config=config,
            keypoints=given[1],
            visible=given[2],
        )
        for target, source in zip(
            jax.tree.leaves(refined), jax.tree.leaves(part), strict=True
        ):
            target[rows] = np.asarray(source)[: len(rows)]
    return refined


def _rows(tree: PyTree, rows: Int[np.ndarray, "m"]) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _padded(rows: Int[np.ndarray, "m"], chunk: int) -> Int[np.ndarray, "k"]:
    """The rows, the last repeated up to the next power of two, or the chunk's size."""
    size = min(chunk, 1 << (len(rows) - 1).bit_length())
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])
