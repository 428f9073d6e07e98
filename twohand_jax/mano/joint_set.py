"""Which 21 joints of a posed hand a data set or an evaluation means.

MANO's joints are known at rest, from the surface (``J_regressor``). Of a posed hand
there are two answers: *kinematic* joints go down the tree with the pose, *regressed*
ones come from the posed surface by the same regressor. They differ because of blend
weights and pose correctives, on MANO by some millimetres.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, TIPS, fingertips
from twohand_jax.types import HandGeometry, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
# Of models so named the regressor holds at rest only: bent fingers miss by 1 cm.
REST_REGRESSOR = "open-hand"


class JointSet(NamedTuple):
    """A definition of the 21 joints.

    Attributes:
        tips: which vertices are fingertips (``mano.joints.FINGERTIPS``).
        kind: of the other joints, a name in ``KINDS``.
    """

    tips: str
    kind: str

    def of(self, model: ManoModel, geometry: HandGeometry) -> Float[Array, "*b 2 21 3"]:
        """The joints of posed hands in canonical order, metres.

        Args:
            model: whose hands they are.
            geometry: posed hands with their surface.
        """
        return KINDS[self.kind](model, geometry, self.tips)


def regressed(
    model: ManoModel, geometry: HandGeometry, tips: str
) -> Float[Array, "*b 2 21 3"]:
    """The model's joint regressor applied to the posed surface, and fingertips.

    The open hand's regressor is made for the rest pose, and bent fingers' joints would
    leave the finger, so of that model the kinematic joints are taken.
    """
    if model.name.startswith(REST_REGRESSOR):
        return kinematic(model, geometry, tips)
    joints = jnp.einsum(
        "hjv,...hvc->...hjc",
        model.joint_regressor,
        geometry.vertices,
        precision=HIGHEST,
    )
    chosen = geometry.vertices[..., list(fingertips(tips)), :]
    return jnp.concatenate([joints, chosen], axis=-2)[..., CANONICAL_FROM_MODEL, :]


def kinematic(
    model: ManoModel, geometry: HandGeometry, tips: str
) -> Float[Array, "*b 2 21 3"]:
    """The joints that posing gave, with the named fingertips."""
    del model
    chosen = geometry.vertices[..., list(fingertips(tips)), :]
    return jnp.asarray(geometry.joints).at[..., list(TIPS), :].set(chosen)


Kind = Callable[[ManoModel, HandGeometry, str], Float[Array, "*b 2 21 3"]]
KINDS: Mapping[str, Kind] = {"regressed": regressed, "kinematic": kinematic}

# What the published codes mean: InterWild (``data/InterHand26M``, ``data/HIC``),
# IntagHand (``apps/eval_interhand.py``), FreiHAND's toolbox (``utils/model.py``,
# ``_calc_coords``), HO-3D's annotations; and what ``mano.forward`` gives.
INTERWILD = JointSet("interwild", "regressed")
INTAGHAND = JointSet("manopth_right", "regressed")
FREIHAND = JointSet("freihand", "regressed")
HO3D = JointSet("ho3d", "kinematic")
POSED = JointSet("interwild", "kinematic")
