"""Reading HO-3D's lists and annotation files (Hampali et al., CVPR 2020), v2 and v3.

Layout, keys and joint order are those of the release's README and of its toolbox
(github.com/shreyashampali/ho3d: ``utils/vis_utils.py``, ``vis_HO3D.py``). The
annotations are Python 2 pickles; they are read without running anything that they
name (``mano.safe_pickle``). They are in OpenGL's axes (x right, y up, z backward);
negating y and z gives ours (toolbox: ``project_3D_points``).
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.errors import InputError
from twohand_jax.mano import safe_pickle

OUR_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
HOME = (
    'HO-3D v2 and v3 come from the project page "Hand-Object 3D pose annotation" of '
    "TU Graz, linked from github.com/shreyashampali/ho3d, for academic research only"
)
_TRAIN = {
    "camMat": (3, 3),
    "handJoints3D": (21, 3),
    "handPose": (48,),
    "handBeta": (10,),
    "handTrans": (3,),
}
_EVALUATION = {"camMat": (3, 3), "handJoints3D": (3,), "handBoundingBox": (4,)}
FIELDS = {"train": _TRAIN, "evaluation": _EVALUATION}


class Frame(NamedTuple):
    """One line of a list: a picture of a sequence."""

    sequence: str
    frame: str

    def file(self, root: Path, split: str, kind: str, suffix: str) -> Path:
        """The frame's file of a kind (``rgb``, ``depth``, ``meta``)."""
        return root / split / self.sequence / kind / f"{self.frame}{suffix}"


class NotAnnotatedError(InputError):
    """A file that lacks the hand's annotation, or holds None for it."""


def read_list(root: Path, split: str) -> list[Frame]:
    """The frames of ``{split}.txt``, which alone are annotated (README of the release).

    Raises:
        InputError: the list is missing, empty or has lines of another form.
    """
    file = root / f"{split}.txt"
    try:
        lines = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is missing or not readable. {HOME}.") from error
    frames = [Frame(*line.split("/")) for line in lines if _is_frame(line)]
    if len(frames) != len(lines) or not frames:
        wrong = next((line for line in lines if not _is_frame(line)), "nothing")
        raise InputError(
            f"{file} holds {wrong!r}, expected lines of the form SEQUENCE/FRAME. "
            f"{HOME}."
        )
    (most, times), *_ = Counter(frames).most_common(1)
    if times > 1:
        raise InputError(f"{file} lists {'/'.join(most)} {times} times. {HOME}.")
    return frames


def _is_frame(line: str) -> bool:
    parts = line.split("/")
    return len(parts) == 2 and not {"", ".", ".."} & set(parts)


def read_meta(file: Path, split: str) -> dict[str, Float[np.ndarray, "..."]]:
    """The hand's fields of an annotation file, OpenGL's axes, metres and pixels.

    ``handPose`` is 16 rotations in the model's order without the mean subtracted
    (toolbox: ``forwardKinematics`` loads MANO with ``flat_hand_mean``),
    ``handBoundingBox`` x and y of two corners.

    Raises:
        NotAnnotatedError: a field is missing or None.
        InputError: the file is missing, hostile, damaged, or a field has another
            shape.
    """
    shapes = FIELDS[split]
    fields = safe_pickle.load_arrays(file, shapes, what="HO-3D annotation")
    missing = sorted(shapes.keys() - fields.keys())
    if missing:
        raise NotAnnotatedError(f"{file} has no {', '.join(missing)}. {HOME}.")
    for name, shape in shapes.items():
        # Vectors are written as rows in some files and as columns in others.
        if fields[name].size != np.prod(shape):
            raise InputError(
                f"{file}: field {name!r} has shape {fields[name].shape}, expected "
                f"{shape}. {HOME}."
            )
        fields[name] = fields[name].reshape(shape).astype(float)
    return fields
