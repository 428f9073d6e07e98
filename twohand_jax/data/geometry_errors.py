"""How well the labels of a record agree with each other; numpy, NaN where unknown."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax import mano
from twohand_jax.data.decode import Fields
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

WRIST = 0


class Errors(NamedTuple):
    """Disagreements of a batch of records.

    Attributes:
        reprojection_px: of the projected 3D joints from the 2D joints.
        posing_mm: of the posed hand model's joints from the 3D joints; NaN for
            records of another hand model.
        rel_trans_mm: of the relative translation from the wrists' 3D joints.
    """

    reprojection_px: Float[np.ndarray, "n 2 21"]
    posing_mm: Float[np.ndarray, "n 2 21"]
    rel_trans_mm: Float[np.ndarray, "n"]


def measure(fields: Fields, model: ManoModel) -> Errors:
    """All disagreements of parsed records."""
    return Errors(
        reprojection_errors(fields),
        posing_errors_mm(fields, model),
        rel_trans_errors_mm(fields),
    )


def reprojection_errors(fields: Fields) -> Float[np.ndarray, "n 2 21"]:
    """Distance in pixels of each projected 3D joint from its 2D joint.

    NaN for pictures without a known camera and for joints that lack one of the two. A
    joint behind the camera is infinitely far off.
    """
    points = fields["hands/joints_3d"]
    depth = points[..., 2:]
    focal = fields["camera/focal"][:, None, None]
    center = fields["camera/center"][:, None, None]
    before = np.where(depth > 0, depth, 1.0)
    error = np.linalg.norm(
        points[..., :2] / before * focal + center - fields["hands/joints_2d"], axis=-1
    )
    error = np.where(depth[..., 0] > 0, error, np.inf)
    known = fields["hands/joints_3d_valid"] * fields["hands/joints_2d_valid"]
    known = known * fields["camera/valid"][:, None, None]
    return np.where(known > 0, error, np.nan)


def posing_errors_mm(fields: Fields, model: ManoModel) -> Float[np.ndarray, "n 2 21"]:
    """Distance of each posed joint from its 3D joint.

    NaN for records made with another hand model and where one of the two is unknown.
    """
    posed = np.asarray(_joints(model, mano_params(fields)))
    error_mm = 1000 * np.linalg.norm(posed - fields["hands/joints_3d"], axis=-1)
    known = (fields["mano/valid"][..., None] * fields["hands/joints_3d_valid"]) > 0
    known &= belongs_to(fields, model)[:, None, None]
    return np.where(known, error_mm, np.nan)


def rel_trans_errors_mm(fields: Fields) -> Float[np.ndarray, "n"]:
    """Distance of the relative translation from left wrist minus right wrist."""
    wrists = fields["hands/joints_3d"][:, :, WRIST]
    error = fields["rel_trans"] - (wrists[:, LEFT] - wrists[:, RIGHT])
    known = fields["hands/joints_3d_valid"][:, :, WRIST].all(axis=1)
    known = known & (fields["rel_trans_valid"] > 0)
    return np.where(known, 1000 * np.linalg.norm(error, axis=-1), np.nan)


def belongs_to(fields: Fields, model: ManoModel) -> np.ndarray:
    """Which records' parameters are of this hand model ``(n,)``."""
    return fields["mano/model"] == model.name.encode()


def mano_params(fields: Fields) -> ManoParams:
    """The parameters of parsed records."""
    return ManoParams(
        *(jnp.asarray(fields[f"mano/{name}"]) for name in ManoParams._fields)
    )


@jax.jit
def _joints(model: ManoModel, params: ManoParams) -> Float[Array, "*b 2 21 3"]:
    return mano.forward(model, params).joints
