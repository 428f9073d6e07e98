"""Loading a hand model: the embedded open hand, MANO's pickles, or one ``.npz``."""

import functools
import sys
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from twohand_jax import files, paths, reading
from twohand_jax.errors import InputError
from twohand_jax.mano import safe_pickle
from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import SIDES, ManoModel

OPEN_HAND = Path(__file__).parent / "assets" / "open_hand.npz"
FILES = {"right": "MANO_RIGHT.pkl", "left": "MANO_LEFT.pkl"}
SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),
    "f": (1538, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}
MAX_NPZ = 128 * reading.MIB
ModelArrays = dict[str, np.ndarray]


def load(
    source: str | Path | None = None, *, dtype: jnp.dtype = jnp.float32
) -> ManoModel:
    """Load a two-hand model.

    Args:
        source: None for the embedded open hand; a directory with ``MANO_RIGHT.pkl``
            and ``MANO_LEFT.pkl`` (if the left one is missing, the right one is
            mirrored and a sentence on stderr says so); or a ``.npz`` that ``save``
            wrote or that holds MANO's fields, either those of the right hand alone
            or those of both hands with the prefixes ``right_`` and ``left_``.
        dtype: floating-point type of the arrays.

    Raises:
        InputError: a file is missing or hostile, has fields of the wrong shape, or
            holds the hand of the other side.
    """
    path = OPEN_HAND if source is None else paths.local(source)
    if path.is_dir():
        right = _read_pickle(path / FILES["right"])
        if not (path / FILES["left"]).exists():
            _say_once(
                f"{path} holds no {FILES['left']}: the left hand is the mirror image "
                f"of {FILES['right']}."
            )
            left = mirrored(right)
        else:
            left = fix_left(_read_pickle(path / FILES["left"]), right)
        _check_sides(right, left, str(path))
        return _assemble(right, left, "mano", dtype)
    if not path.exists():
        raise InputError(
            f"No hand model at {path}: expected a folder with {FILES['right']} and "
            f"{FILES['left']}, or a .npz file."
        )
    if path.suffix != ".npz":
        raise InputError(
            f"{path} is not a hand model: give the folder that holds "
            f"{FILES['right']} and {FILES['left']}, or a .npz file."
        )
    return _from_npz(path, dtype)


def save(model: ManoModel, path: str | Path) -> None:
    """Write a model as one ``.npz`` file, which ``load`` reads without any pickle."""
    fields = {"name": np.asarray(model.name)}
    for index, side in enumerate(SIDES):
        fields |= {
            f"{side}_v_template": np.asarray(model.template[index]),
            f"{side}_f": np.asarray(model.faces[index]),
            f"{side}_shapedirs": np.asarray(model.shapedirs[index]),
            f"{side}_posedirs": np.asarray(model.posedirs[index]),
            f"{side}_J_regressor": np.asarray(model.joint_regressor[index]),
            f"{side}_weights": np.asarray(model.weights[index]),
            f"{side}_kintree_table": np.stack([np.array(PARENTS), np.arange(16)]),
            f"{side}_hands_components": np.asarray(model.pose_components[index]),
            f"{side}_hands_mean": np.asarray(model.pose_mean[index]).reshape(45),
        }
    files.write_npz(path, fields)


def fix_left(left: ModelArrays, right: ModelArrays) -> ModelArrays:
    """Correct the sign of x in MANO's left shape directions (smplx issue 48)."""
    difference = left["shapedirs"][:, 0, :] - right["shapedirs"][:, 0, :]
    if np.abs(difference).sum() >= 1:
        return left
    shapedirs = left["shapedirs"].copy()
    shapedirs[:, 0, :] *= -1
    return left | {"shapedirs": shapedirs}


def mirrored(right: ModelArrays) -> ModelArrays:
    """Make the left hand by mirroring the right one: x negated, winding reversed."""
    x = np.array([-1.0, 1.0, 1.0])
    rotation_sign = np.tile(np.array([1.0, -1.0, -1.0]), 15)
    matrix_sign = np.tile(np.outer(x, x).reshape(9), 15)
    return right | {
        "v_template": right["v_template"] * x,
        "shapedirs": right["shapedirs"] * x[:, None],
        "posedirs": right["posedirs"] * x[:, None] * matrix_sign,
        "f": right["f"][:, ::-1],
        "hands_mean": right["hands_mean"] * rotation_sign,
        "hands_components": right["hands_components"] * rotation_sign,
    }


def _from_npz(path: Path, dtype: jnp.dtype) -> ManoModel:
    fields = _read_npz(path)
    name = str(fields.get("name", path.stem))
    if "right_v_template" not in fields and "left_v_template" not in fields:
        right = _checked(fields, str(path))
        _check_sides(right, mirrored(right), str(path))
        return _assemble(right, mirrored(right), name, dtype)
    right, left = (
        _checked(
            {k.removeprefix(f"{s}_"): v for k, v in fields.items() if k.startswith(s)},
            f"{path} ({s} hand)",
        )
        for s in SIDES
    )
    if "name" not in fields:  # not written by ``save``: may carry the released bug
        left = fix_left(left, right)
    _check_sides(right, left, str(path))
    return _assemble(right, left, name, dtype)


# In MANO's template the right hand's fingers point to -x, the left one's to +x, and
# both thumbs to +z. Joints 4 and 13 are the bases of the middle finger and the thumb.
MIDDLE, THUMB = 4, 13
CLEAR_M = 0.04  # below it the template is turned, or no hand


def _check_sides(right: ModelArrays, left: ModelArrays, where: str) -> None:
    """See that the right hand is a right one and the left hand a left one.

    Raises:
        InputError: both are the same hand, or they have changed places.
    """
    if np.allclose(right["v_template"], left["v_template"], atol=1e-5):
        raise InputError(
            f"{where} has the same hand on both sides: one is a copy of the other. "
            f"Give MANO's own {FILES['right']} and {FILES['left']}; without the left "
            "one the right one is mirrored."
        )
    for side, fields, sign in (("right", right, -1.0), ("left", left, 1.0)):
        joints = fields["J_regressor"] @ fields["v_template"]
        fingers, thumb = joints[MIDDLE] - joints[0], joints[THUMB] - joints[0]
        if abs(fingers[0]) < CLEAR_M or abs(fingers[0]) < np.abs(fingers[1:]).max():
            continue
        if fingers[0] * sign < 0 < thumb[2]:
            raise InputError(
                f"{where} has a hand of the other side as its {side} hand: the fingers "
                "point the other way. The files, or the names in them, have changed "
                "places."
            )


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr)


def _read_npz(path: Path) -> ModelArrays:
    try:
        return reading.read_npz(path, limit=MAX_NPZ)
    except InputError as error:
        raise InputError(f"{error} It should be a hand model.") from error


def _read_pickle(path: Path) -> ModelArrays:
    if not path.exists():
        raise InputError(
            f"{path} is missing: a hand model is {FILES['right']} and {FILES['left']}; "
            "download them under MANO's licence from its site."
        )
    return _checked(safe_pickle.load_arrays(path, SHAPES), str(path))


def _checked(fields: Mapping[str, np.ndarray], where: str) -> ModelArrays:
    """The model's fields as float64 arrays of the documented shapes."""
    out: ModelArrays = {}
    for key, shape in SHAPES.items():
        if key not in fields:
            raise InputError(f"{where} has no field {key!r}; it is not a MANO model.")
        value = np.asarray(fields[key])
        if value.shape != shape:
            raise InputError(
                f"{where}: field {key!r} has shape {value.shape}, expected {shape}."
            )
        if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise InputError(f"{where}: field {key!r} holds no finite numbers.")
        out[key] = value.astype(np.int64 if key in _INTEGERS else np.float64)
    if out["f"].min() < 0 or out["f"].max() >= 778:
        raise InputError(f"{where}: field 'f' names vertices outside 0..777.")
    if tuple(out["kintree_table"][0, 1:]) != PARENTS[1:]:
        raise InputError(f"{where}: field 'kintree_table' is not MANO's joint tree.")
    return out


_INTEGERS = ("f", "kintree_table")


def _assemble(
    right: ModelArrays, left: ModelArrays, name: str, dtype: jnp.dtype
) -> ManoModel:
    def both(key: str) -> np.ndarray:
        return np.stack([right[key], left[key]])

    regressor, template, shapedirs, posedirs = map(
        both, ("J_regressor", "v_template", "shapedirs", "posedirs")
    )
    rows = np.concatenate([template[..., None], shapedirs, posedirs], axis=-1)
    arrays = {
        "template": template,
        "shapedirs": shapedirs,
        "posedirs": posedirs,
        "joint_regressor": regressor,
        "weights": both("weights"),
        "pose_mean": both("hands_mean").reshape(2, 15, 3),
        "pose_components": both("hands_components"),
        "joint_template": np.einsum("hjv,hvk->hjk", regressor, template),
        "joint_shapedirs": np.einsum("hjv,hvkc->hjkc", regressor, shapedirs),
        "directions": rows.transpose(0, 3, 2, 1).reshape(2, 146, 2334),
    }
    return ManoModel(
        **{key: jnp.asarray(value, dtype) for key, value in arrays.items()},
        faces=jnp.asarray(both("f"), jnp.int32),
        name=name,
    )
