"""What a record's labels must satisfy, apart from what the reader refuses anyway."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool

from twohand_jax.data import schema
from twohand_jax.data.decode import Fields

HAND_TYPES = (b"right", b"left", b"interacting")
WRIST, MIDDLE_BASE = 0, 9
# From wrist to middle knuckle, metres: a small child's hand to more than a giant's.
HAND_SIZE = (0.02, 0.25)
LARGEST_ANGLE = 4 * np.pi
Rows = Bool[np.ndarray, "n"]


def label_problems(fields: Fields) -> Mapping[str, Rows]:
    """Which records break which rule, as sentences that are false of good records."""
    return {sentence: rule(fields) for sentence, rule in RULES}


def _flags(fields: Fields) -> Rows:
    names = [f.name for f in schema.FEATURES if f.dtype is np.bool_]
    return _any(*((fields[n] != 0) & (fields[n] != 1) for n in names))


def _boxes(fields: Fields) -> Rows:
    box = fields["hands/box"]
    empty = (box[..., 2:] <= box[..., :2]).any(axis=-1)
    return _any(empty & _on(fields, "hands/valid"))


def _outside(fields: Fields) -> Rows:
    box = fields["hands/box"]
    size = np.stack([fields["width"], fields["height"]], axis=-1)[:, None]
    apart = (box[..., :2] > size - 1) | (box[..., 2:] < 0)
    return _any(apart.any(axis=-1) & _on(fields, "hands/valid"))


def _behind(fields: Fields) -> Rows:
    seen = _on(fields, "hands/joints_2d_valid") & _on(fields, "hands/joints_3d_valid")
    seen &= _on(fields, "camera/valid")[:, None, None]
    return _any(seen & (fields["hands/joints_3d"][..., 2] <= 0))


def _hand_size(fields: Fields) -> Rows:
    joints, known = fields["hands/joints_3d"], _on(fields, "hands/joints_3d_valid")
    length = np.linalg.norm(joints[:, :, MIDDLE_BASE] - joints[:, :, WRIST], axis=-1)
    known = known[:, :, MIDDLE_BASE] & known[:, :, WRIST]
    return _any(known & ((length < HAND_SIZE[0]) | (length > HAND_SIZE[1])))


def _angles(fields: Fields) -> Rows:
    poses = np.concatenate(
        [fields["mano/global_orient"][:, :, None], fields["mano/hand_pose"]], axis=2
    )
    large = np.linalg.norm(poses, axis=-1) > LARGEST_ANGLE
    return _any(large & _on(fields, "mano/valid")[..., None])


def _fit_without_model(fields: Fields) -> Rows:
    return _any(_on(fields, "mano/valid")) & (fields["mano/model"] == b"")


def _rel_trans(fields: Fields) -> Rows:
    wrists = _on(fields, "hands/joints_3d_valid")[:, :, WRIST].all(axis=-1)
    return _on(fields, "rel_trans_valid") & ~wrists


def _unnamed_cues(fields: Fields) -> Rows:
    return _any(
        *(
            _on(fields, f"cues/has_{cue}") & (fields[f"cues/{cue}_source"] == b"")
            for cue in schema.CUES
        )
    )


def _scores(fields: Fields) -> Rows:
    low = _any(fields["cues/keypoints"][..., 2] < 0)
    return low & _on(fields, "cues/has_keypoints")


RULES: tuple[tuple[str, Callable[[Fields], Rows]], ...] = (
    ("a flag is neither 0 nor 1", _flags),
    ("the image_id is empty", lambda fields: fields["image_id"] == b""),
    (
        "hand_type is none of right, left, interacting",
        lambda fields: ~np.isin(fields["hand_type"], HAND_TYPES),
    ),
    ("no hand is valid", lambda fields: ~_any(_on(fields, "hands/valid"))),
    ("the box of a valid hand is empty", _boxes),
    ("the box of a valid hand lies outside of the picture", _outside),
    (
        "the camera is valid and its focal length is not above 0",
        lambda f: _on(f, "camera/valid") & (f["camera/focal"] <= 0).any(axis=-1),
    ),
    ("a joint that is seen lies behind the camera", _behind),
    ("wrist and middle knuckle are not 2 to 25 cm apart (metres?)", _hand_size),
    ("a MANO rotation is over 4 pi (radians?)", _angles),
    ("MANO parameters are valid and no hand model is named", _fit_without_model),
    ("rel_trans is valid and a wrist is not", _rel_trans),
    ("a cue is there and what made it is not named", _unnamed_cues),
    ("a keypoint cue has a score below 0", _scores),
    (
        "a depth cue is there and its scale is not above 0",
        lambda f: _on(f, "cues/has_depth") & (f["cues/depth_scale"] <= 0),
    ),
)


def _on(fields: Fields, flag: str) -> np.ndarray:
    return fields[flag] > 0


def _any(*masks: np.ndarray) -> Rows:
    """Which rows hold any set element of any mask."""
    return np.any([mask.reshape(len(mask), -1).any(axis=1) for mask in masks], axis=0)
