"""Joints as an evaluation takes them from a posed hand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, fingertips
from twohand_jax.types import HandGeometry, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
TIPS = (4, 8, 12, 16, 20)
# Of models so named the regressor holds at rest only: bent fingers miss by 1 cm.
REST_REGRESSOR = "open-hand"


def with_tips(geometry: HandGeometry, *, tips: str) -> Float[Array, "*b 2 21 3"]:
    """The joints with the fingertips a dataset uses (``mano.joints.FINGERTIPS``)."""
    chosen = geometry.vertices[..., list(fingertips(tips)), :]
    return geometry.joints.at[..., list(TIPS), :].set(chosen)


def of_surface(
    model: ManoModel, geometry: HandGeometry, *, tips: str
) -> Float[Array, "*b 2 21 3"]:
    """Joints regressed from the posed surface, as two-hand evaluations do.

    IntagHand (``apps/eval_interhand.py``) and InterWild (``data/InterHand26M``) apply
    MANO's joint regressor to posed vertices, which gives other joints than posing
    does. The open hand's regressor is made for the rest pose and bent fingers' joints
    would leave the finger, so of that model the posed joints are taken.
    """
    if model.name.startswith(REST_REGRESSOR):
        return with_tips(geometry, tips=tips)
    regressed = jnp.einsum(
        "hjv,...hvc->...hjc",
        model.joint_regressor,
        geometry.vertices,
        precision=HIGHEST,
    )
    chosen = geometry.vertices[..., list(fingertips(tips)), :]
    joints = jnp.concatenate([regressed, chosen], axis=-2)
    return joints[..., CANONICAL_FROM_MODEL, :]


def near_origin(geometry: HandGeometry) -> HandGeometry:
    """Each hand relative to its first vertex (or joint, without a mesh).

    Half a metre away float32 rounds to 6e-5 mm, and differently in batches of another
    size; what is relative to a root in the end is computed here, where it rounds less.
    """
    points = geometry.joints if geometry.vertices is None else geometry.vertices
    first = points[..., :1, :]
    return jax.tree.map(lambda place: place - first, geometry)


def compared(
    model: ManoModel, geometry: HandGeometry, *, tips: str
) -> Float[Array, "*b 2 21 3"]:
    """Joints to compare: of the surface, or as they are where there is no surface."""
    if geometry.vertices is None:
        return geometry.joints
    return of_surface(model, geometry, tips=tips)
