"""Separating two estimated hands with the prior (METHOD §5, §6).

The better-seen hand stays where it is. The other one is denoised, with the first as
condition, held to the estimate as far as that can be trusted (``evidence``), and guided
by the gradient of a collision energy and of the user's own energy if there is one. The
paper's way, ``PRESETS["paper"]``, inverts the estimate to noise and then lets go of it.

``refine`` computes every sample and can be traced; ``refine_selected`` computes only
those that need it; ``gradient_descent`` follows the same energy without the prior, for
comparison.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key, PyTree

from twohand_jax import mano
from twohand_jax.diffusion import ddim, evidence, gate, guidance, representation
from twohand_jax.diffusion.ddim import Change, DdimConfig, PriorParts, check_hand_model
from twohand_jax.diffusion.evidence import EvidenceConfig
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.diffusion.guidance import (
    EnergyConfig,
    GuidanceConfig,
    PairContext,
    PairEnergy,
)
from twohand_jax.diffusion.representation import OTHER, REFERENCE
from twohand_jax.errors import InputError
from twohand_jax.models import pair_geometry
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Array,
    ManoModel,
    ManoParams,
    Prediction,
)

# (normalised other hand and reference, scene, change of a step) -> other hand
Solve = Callable[
    [Float[Array, "n 64"], Float[Array, "n 64"], PairContext, Change], Array
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How estimates are refined.

    Attributes:
        ddim: steps of denoising, from the noise of the horizon on; without evidence
            also those of inversion.
        evidence: how far the estimate can be trusted. With None it is inverted to
            noise, and the prior alone decides from there, as in the paper (METHOD §5).
        guidance: step sizes of guidance.
        energy: terms of the energy that guidance descends.
        gate: which estimates are refined.
        residual: without evidence, the share of the residual of inversion that sampling
            adds back: with 1 only guidance changes the estimate, with 0 the prior also
            pulls it towards what it knows.
    """

    ddim: DdimConfig = DdimConfig(steps=10, horizon=80)
    evidence: EvidenceConfig | None = EvidenceConfig()
    guidance: GuidanceConfig = GuidanceConfig(
        across=0.3, others=0.03, settle=24, limit=0.05
    )
    energy: EnergyConfig = EnergyConfig(collision=30.0)
    gate: GateConfig = GateConfig()
    residual: float = 1.0

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if not 0.0 <= self.residual <= 1.0:
            raise InputError(
                f"RefineConfig.residual is {self.residual}; a share lies in [0, 1]."
            )


# "paper": inversion of the estimate, guided DDIM of the hidden hand given the visible
# one, nothing else. Its steps are those of its own noise: for another schedule, end
# where as much signal is left (``ddim.at_level``). The energy's weight and the test of
# what collides are ours; the angle alone, as printed, pulls facing hands together.
PRESETS = {
    "default": RefineConfig(),
    "paper": RefineConfig(
        ddim=dataclasses.replace(ddim.PUBLISHED, fixed_point=0),
        evidence=None,
        guidance=GuidanceConfig(),
        energy=EnergyConfig(collision=30.0),
        residual=0.0,
    ),
}


class Refined(NamedTuple):
    """Refined estimates; unchanged ones with the reason.

    Attributes:
        prediction: both hands in the camera.
        status: outcome of each sample, a number of ``gate.Status``.
        reference: the hand that stayed, RIGHT or LEFT.
        depth_before: depth of the deepest colliding vertex before, metres.
        depth_after: the same after refinement, metres.
    """

    prediction: Prediction
    status: Int[Array, "*b"]
    reference: Int[Array, "*b"]
    depth_before: Float[Array, "*b"]
    depth_after: Float[Array, "*b"]


class _Case(NamedTuple):
    """An estimate and what is known of it beside."""

    prediction: Prediction
    keypoints: Float[Array, "*b 2 21 3"] | None
    visible: Float[Array, "*b 2"] | None


class _Method(NamedTuple):
    """How the other hand is found; ``energy`` is the user's."""

    solve: Solve
    energy: PairEnergy | None = None


class GateResult(NamedTuple):
    """Result of the gate for each sample; fields as in ``Refined``."""

    status: Int[Array, "*b"]
    reference: Int[Array, "*b"]
    depth: Float[Array, "*b"]


def refine(
    prior: PriorParts,
    model: ManoModel,
    prediction: Prediction,
    key: Key[Array, ""],
    *,
    config: RefineConfig,
    energy: PairEnergy | None = None,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
) -> Refined:
    """Refine the samples that need it; all others are returned bit for bit.

    Every sample is computed, so that shapes are static: wrap it in ``jax.jit`` with
    ``config`` and ``energy`` static. It can be differentiated and vmapped.

    Args:
        prior: parts of a prior that was trained on this hand model.
        model: two-hand model.
        prediction: both hands in the camera, any leading batch.
        key: random key of the noise that is drawn if ``config.ddim.eta`` is above 0.
        config: settings of all steps.
        energy: an energy of the user's own, as in ``cascade.SampleConfig``, added to
            the terms of ``config.energy``. With ``config.energy.collision`` 0 it takes
            the place of the collision energy; then results are kept even if the hands
            share more space than before.
        keypoints: x and y in pixels, and score, of both hands in the picture.
        visible: visible area of each hand, any unit (``visibility.visible_area``).

    Raises:
        InputError: the prior belongs to another hand model.
    """

    def invert(
        clean: Array, condition: Array, scene: PairContext, change: Change
    ) -> Array:
        found = ddim.invert(
            prior.denoise, prior.schedule, clean, condition, config=config.ddim
        )
        return ddim.sample(
            prior.denoise,
            prior.schedule,
            found.latent,
            condition,
            config=config.ddim,
            key=key,
            change=change,
            residual=config.residual * found.residual,
        )

    def restore(
        clean: Array, condition: Array, scene: PairContext, change: Change
    ) -> Array:
        assert config.evidence is not None
        known = pair_geometry.skeleton(model), prior.statistics
        seen = evidence.gather(
            *known,
            clean,
            guidance.line_of_sight(scene),
            guidance.joint_weights(scene),
            config=config.evidence,
        )
        agree = evidence.agreement(*known, seen, config=config.evidence)
        return evidence.restore(
            prior, clean, condition, config=config.ddim, agree=agree, change=change
        )

    case = _Case(prediction, keypoints, visible)
    method = _Method(invert if config.evidence is None else restore, energy)
    return _on_one_axis(prior, model, case, method, config=config)


def refine_selected(
    prior: PriorParts,
    model: ManoModel,
    prediction: Prediction,
    key: Key[Array, ""],
    *,
    config: RefineConfig,
    energy: PairEnergy | None = None,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
    chunk: int = 64,
) -> Refined:
    """``refine``, compiled, where it is needed; not for the inside of a trace.

    Args:
        prior: parts of a prior whose ``denoise`` is a ``jax.tree_util.Partial``.
        model: two-hand model.
        prediction: both hands in the camera, any leading batch.
        key: random key, from which one is derived for each chunk.
        config: settings of all steps.
        energy: as in ``refine``. Programs are compiled once for each function.
        keypoints: as in ``refine``.
        visible: as in ``refine``.
        chunk: largest number of samples that are computed at once.

    Returns:
        Results as numpy arrays.
    """
    if chunk < 1:
        raise InputError(f"Chunks of {chunk} samples hold none; give at least 1.")
    check_hand_model(prior, model)
    batch = np.shape(prediction.score)[:-1]

    def flat(leaf: Array) -> np.ndarray:
        return np.array(leaf).reshape(-1, *np.shape(leaf)[len(batch) :])

    case = jax.tree.map(flat, _Case(prediction, keypoints, visible))
    before = _check_gate(model, config=config, **case._asdict())
    status, reference, depth = jax.tree.map(np.array, before)
    refined = Refined(case.prediction, status, reference, depth, depth.copy())
    needed = np.flatnonzero(status == Status.REFINED)
    for number, start in enumerate(range(0, len(needed), chunk)):
        rows = needed[start : start + chunk]
        given = _rows(case, _padded(rows, chunk))
        part = _refine(
            prior,
            model,
            key=jax.random.fold_in(key, number),
            config=config,
            energy=energy,
            **given._asdict(),
        )
        for target, source in zip(
            jax.tree.leaves(refined), jax.tree.leaves(part), strict=True
        ):
            target[rows] = np.asarray(source)[: len(rows)]
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), refined)


def gradient_descent(
    prior: PriorParts,
    model: ManoModel,
    prediction: Prediction,
    *,
    config: RefineConfig,
    energy: PairEnergy | None = None,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
) -> Refined:
    """Refine by plain gradient descent on the energy, without the denoiser.

    The gate, the hand that stays, the energy and the step sizes are as in ``refine``.
    """

    def solve(
        clean: Array, condition: Array, scene: PairContext, change: Change
    ) -> Array:
        return jax.lax.fori_loop(
            0, config.ddim.steps, lambda step, x: change(x, step), clean
        )

    case = _Case(prediction, keypoints, visible)
    method = _Method(solve, energy)
    return _on_one_axis(prior, model, case, method, config=config)


def check_gate(
    model: ManoModel,
    prediction: Prediction,
    *,
    config: RefineConfig,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
) -> GateResult:
    """Predict what ``refine`` will do: status, the hand that stays, depth in metres."""
    depth = gate.penetration_depth(model, prediction, criteria=config.energy.criteria)
    return GateResult(
        status=gate.status(prediction, depth, config=config.gate, keypoints=keypoints),
        reference=gate.choose_reference(
            prediction.score, visible=visible, keypoints=keypoints
        ),
        depth=depth,
    )


def _on_one_axis(
    prior: PriorParts,
    model: ManoModel,
    case: _Case,
    method: _Method,
    *,
    config: RefineConfig,
) -> Refined:
    """Run on one batch axis, which is what a network takes."""
    check_hand_model(prior, model)
    case = jax.tree.map(jnp.asarray, case)
    chex.assert_shape(case.prediction.score, (..., 2))
    batch = case.prediction.score.shape[:-1]
    chex.assert_tree_shape_prefix(case, batch)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(batch) :]), case)
    refined = _attempt(prior, model, flat, method, config=config)
    return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), refined)


def _attempt(
    prior: PriorParts,
    model: ManoModel,
    case: _Case,
    method: _Method,
    *,
    config: RefineConfig,
) -> Refined:
    """Gate, solve, and accept what is usable and penetrates no more than before."""
    prediction, keypoints, visible = case
    before = check_gate(
        model, prediction, config=config, keypoints=keypoints, visible=visible
    )
    wanted = before.status == Status.REFINED
    nothing = jax.tree.map(jnp.zeros_like, prediction)
    usable = case._replace(prediction=_choose(wanted, prediction, nothing))
    params = _solved(prior, model, usable, before.reference, method, config=config)
    found = _with_hand(model, prediction, params, 1 - before.reference)
    after = gate.penetration_depth(model, found, criteria=config.energy.criteria)
    kept = wanted & gate.usable(found)
    if config.energy.collision > 0 or method.energy is None:
        amount = [gate.penetration_amount(model, x) for x in (found, prediction)]
        kept &= amount[0] <= amount[1]
    return Refined(
        prediction=_choose(kept, found, prediction),
        status=jnp.where(wanted & ~kept, Status.FAILED, before.status),
        reference=before.reference,
        depth_before=before.depth,
        depth_after=jnp.where(kept, after, before.depth),
    )


def _solved(
    prior: PriorParts,
    model: ManoModel,
    case: _Case,
    reference: Int[Array, "n"],
    method: _Method,
    *,
    config: RefineConfig,
) -> ManoParams:
    """Into the prior frame, solve for the other hand, and back into the camera."""
    prediction, statistics = case.prediction, prior.statistics
    vectors = representation.pack(model, prediction.mano, reference)
    frame = representation.pair_frame(model, prediction.mano, reference)
    scene = guidance.pair_context(prediction, reference, frame, case.keypoints)
    energy = guidance.total_energy(
        model, statistics, scene, config=config.energy, extra=method.energy
    )
    sizes = guidance.step_sizes(
        config.ddim.steps, statistics, prior.kind, config=config.guidance
    )
    change = guidance.by_energy(
        energy,
        sizes,
        limit=config.guidance.limit,
        sight=guidance.line_of_sight(scene),
        across=config.guidance.across,
    )
    pair = representation.normalise(vectors, statistics)
    clean = method.solve(pair[:, OTHER], pair[:, REFERENCE], scene, change)
    clean = jax.lax.fori_loop(
        0,
        config.guidance.settle,
        lambda _, now: change(now, jnp.asarray(config.ddim.steps - 1)),
        clean,
    )
    other = representation.denormalise(clean, statistics, hand=OTHER)
    changed = vectors.at[:, OTHER].set(other)
    return representation.unpack(model, changed, reference, frame)


def _with_hand(
    model: ManoModel, prediction: Prediction, params: ManoParams, hand: Int[Array, "n"]
) -> Prediction:
    """The prediction with one hand's parameters and geometry replaced."""
    changed = jnp.arange(2) == hand[:, None]
    given = (prediction.mano, prediction.geometry)
    posed, geometry = _choose(changed, (params, mano.forward(model, params)), given)
    wrists = geometry.joints[:, :, mano.joints.WRIST]
    return prediction._replace(
        mano=posed, geometry=geometry, rel_trans=wrists[:, LEFT] - wrists[:, RIGHT]
    )


def _choose(mask: Bool[Array, "*m"], yes: PyTree, no: PyTree) -> PyTree:
    """Whole samples (or hands) of one tree or the other."""

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(leaf, yes, no)


def _rows(tree: PyTree, rows: Int[np.ndarray, "m"]) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _padded(rows: Int[np.ndarray, "m"], chunk: int) -> Int[np.ndarray, "k"]:
    """The rows, the last repeated up to the next power of two, or the chunk's size."""
    size = min(chunk, 1 << (len(rows) - 1).bit_length())
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])


_check_gate = jax.jit(check_gate, static_argnames="config")
_refine = jax.jit(refine, static_argnames=("config", "energy"))
