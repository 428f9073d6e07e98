"""Drawing pairs of hands: the first one alone, the second one beside it.

This is the cascade of InterHandGen (Lee et al., CVPR 2024). The first hand keeps its
pose and shape and becomes the reference of the second one.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from twohand_jax import collision, mano
from twohand_jax.collision import CollisionConfig
from twohand_jax.diffusion import ddim, guidance, representation
from twohand_jax.diffusion.ddim import DdimConfig, Energy, PriorParts
from twohand_jax.diffusion.guidance import GuidanceConfig, PairEnergy
from twohand_jax.diffusion.representation import OTHER, REFERENCE, RELATIVE, Statistics
from twohand_jax.types import LEFT, RIGHT, HandGeometry, ManoModel

# Where every reference hand is: two rows of the identity, and no translation.
AT_ORIGIN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Collision:
    """The built-in energy: how far the hands of a pair penetrate each other.

    Its weight suits the step sizes of ``GuidanceConfig`` and samples from noise.
    """

    config: CollisionConfig = CollisionConfig(weight=30.0)

    def __call__(self, model: ManoModel, pair: HandGeometry) -> Float[Array, "*b"]:
        """One value a pair, see ``collision.energy``."""
        right, left = (pair.vertices[..., side, :, :] for side in (RIGHT, LEFT))
        return collision.energy(
            right, left, model.faces[RIGHT], model.faces[LEFT], config=self.config
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How samples are drawn.

    Attributes:
        ddim: number of denoising steps, and their randomness.
        same_noise: both hands of a pair start from the same noise, as in InterHandGen's
            released code; by default each has its own.
        energy: ``(model, pair) -> *b`` steers the second hand downhill; None for free
            samples (``guidance.PairEnergy`` says where the pair lies). Programs are
            compiled once for each energy: pass the same function again, not a new one.
        guidance: step sizes along the energy's gradient.
    """

    ddim: DdimConfig = DdimConfig()
    same_noise: bool = False
    energy: PairEnergy | None = None
    guidance: GuidanceConfig = GuidanceConfig()


# "interhandgen": its released sampler, guided by its released collision energy.
PRESETS = {
    "default": SampleConfig(),
    "interhandgen": SampleConfig(
        ddim=ddim.RELEASED,
        same_noise=True,
        energy=Collision(collision.PRESETS["interhandgen"]),
    ),
}


def draw_pairs(
    parts: PriorParts,
    model: ManoModel,
    key: Key[Array, ""],
    count: int,
    *,
    config: SampleConfig,
) -> Float[Array, "n 2 64"]:
    """Pairs of reference and other hand, not normalised.

    Args:
        parts: the prior.
        model: hand model.
        key: decides every number.
        count: how many.
        config: how; the energy plays no role for the first hand.
    """
    for_first, for_second = jax.random.split(key)
    if config.same_noise:
        for_second = for_first
    none = jnp.zeros((count, representation.SIZE))
    free = dataclasses.replace(config, energy=None)
    first = _draw(parts, model, for_first, none, none, config=free)
    reference = as_reference(first)
    second = draw_second(parts, model, for_second, reference, config=config)
    return jnp.stack([reference, second], axis=-2)


def draw_second(
    parts: PriorParts,
    model: ManoModel,
    key: Key[Array, ""],
    reference: Float[Array, "*b 64"],
    *,
    config: SampleConfig,
) -> Float[Array, "*b 64"]:
    """A second hand beside each reference hand, not normalised.

    Args:
        parts: the prior.
        model: hand model.
        key: decides every number.
        reference: first hands, not normalised.
        config: how.
    """
    condition = representation.normalise(reference, parts.statistics, hand=REFERENCE)
    return _draw(parts, model, key, reference, condition, config=config)


def as_reference(vectors: Float[Array, "*b 64"]) -> Float[Array, "*b 64"]:
    """Hands drawn alone, put where a reference hand is; vectors are not normalised.

    Pose and shape mean the mirrored left hand now.
    """
    return vectors.at[..., RELATIVE].set(jnp.asarray(AT_ORIGIN, vectors.dtype))


def vectors_of(
    energy: PairEnergy,
    model: ManoModel,
    statistics: Statistics,
    reference: Float[Array, "*b 64"],
) -> Energy:
    """An energy of pairs as one of the second hand's normalised vectors.

    Args:
        energy: of pairs.
        model: hand model.
        statistics: of the prior.
        reference: first hands, not normalised; they are held.
    """
    twice = jnp.stack([reference, reference], axis=-2)
    posed = mano.forward(model, representation.unpack_at_origin(model, twice))

    def compute(clean: Float[Array, "*b 64"]) -> Float[Array, "*b"]:
        raw = representation.denormalise(clean, statistics, hand=OTHER)
        vertices, joints = representation.other_hand(model, raw)
        pair = HandGeometry(
            vertices=posed.vertices.at[..., RIGHT, :, :].set(vertices),
            joints=posed.joints.at[..., RIGHT, :, :].set(joints),
        )
        return energy(model, pair)

    return compute


def _draw(
    parts: PriorParts,
    model: ManoModel,
    key: Key[Array, ""],
    reference: Float[Array, "*b 64"],
    condition: Float[Array, "*b 64"],
    *,
    config: SampleConfig,
) -> Float[Array, "*b 64"]:
    statistics, steps = parts.statistics, config.ddim.steps
    change = None
    if config.energy is not None:
        change = guidance.by_energy(
            vectors_of(config.energy, model, statistics, reference),
            guidance.step_sizes(steps, statistics, parts.kind, config=config.guidance),
            limit=config.guidance.limit,
        )
    for_latent, for_steps = jax.random.split(key)
    clean = ddim.sample(
        parts.denoise,
        parts.schedule,
        jax.random.normal(for_latent, condition.shape),
        condition,
        config=config.ddim,
        key=for_steps,
        change=change,
    )
    return representation.denormalise(clean, statistics, hand=OTHER)
