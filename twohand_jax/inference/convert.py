"""Result files of a folder as one table (CSV) or one file of arrays (NPZ)."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twohand_jax import files, reading
from twohand_jax.errors import InputError
from twohand_jax.inference import conventions, result_file
from twohand_jax.inference.conventions import Arrays, SmplxConfig
from twohand_jax.inference.result_file import Result
from twohand_jax.mano.joints import JOINT_NAMES, MODEL_JOINT_NAMES
from twohand_jax.types import SIDES, ManoModel

FORMATS = (".npz", ".csv")
MIRROR_TOLERANCE = 1e-5
XYZ, XY = ("x", "y", "z"), ("x", "y")


class Found(NamedTuple):
    """Result files, and JSON files of the folders that are none."""

    results: list[Path]
    others: list[Path]


def find(paths: Sequence[str | Path]) -> Found:
    """The result files that files and folders stand for, in order.

    Raises:
        InputError: a path does not exist, or a folder holds no result.
    """
    results: list[Path] = []
    others: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            results.append(path)
            continue
        inside = sorted(p for p in path.glob("*.json") if not p.name.startswith("."))
        known = [file for file in inside if _is_result(file)]
        if not known:
            raise InputError(
                f"The folder {path} holds no result; give one that `twohand "
                "reconstruct` wrote, or its NAME.json files."
            )
        results += known
        others += sorted(set(inside) - set(known))
    return Found(results, others)


def _is_result(path: Path) -> bool:
    try:
        return result_file.is_result(reading.read_json(path))
    except InputError:
        return False


def load(paths: Sequence[Path], model: ManoModel) -> Result:
    """Result files as one, posed.

    Raises:
        InputError: see ``result_file.load_result``.
    """
    read = [result_file.read(path) for path in paths]
    return result_file.pose(result_file.joined(read), model, str(paths[0]))


def write(
    path: Path,
    result: Result,
    model: ManoModel,
    *,
    convention: str = "twohand",
    config: SmplxConfig | None = None,
) -> list[str]:
    """Write results as one file.

    Args:
        path: its ending, .npz or .csv, is the format.
        result: posed.
        model: of the result.
        convention: a name of ``conventions.CONVENTIONS``; CSV knows only "twohand".
        config: the form of "smplx".

    Returns:
        Sentences that whoever reads the file should know.

    Raises:
        InputError: there is no such form, or the file cannot be written.
    """
    check(path, convention, config)
    if path.suffix == ".csv":
        files.write_text(path, table(conventions.twohand(result, model)))
        return []
    more = () if config is None else (config,)
    arrays = conventions.CONVENTIONS[convention](result, model, *more)
    files.write_npz(path, arrays)
    if convention != "hamer":
        return []
    error = conventions.mirror_error(result, arrays)
    if error < MIRROR_TOLERANCE:
        return []
    return [
        f"The left hand of {model.name} is not its right hand's mirror image: left "
        f"hands are off by up to {1000 * error:.2f} mm."
    ]


def check(path: Path, convention: str, config: SmplxConfig | None) -> None:
    """Refuse what can't be written, before anything is read.

    Raises:
        InputError: an unknown ending, or a combination that there is not.
    """
    if path.suffix not in FORMATS:
        raise InputError(
            f"--out must end in {' or '.join(FORMATS)}, which is the format, but is "
            f"{path}."
        )
    if path.suffix == ".csv" and convention != "twohand":
        raise InputError(
            f"Results in the convention of {convention} are written as NPZ; let --out "
            "end in .npz."
        )
    if config is not None and convention != "smplx":
        raise InputError(
            f"--flat and --mirror-left are forms of --convention smplx, not of "
            f"{convention}."
        )


def columns() -> dict[str, list[str]]:
    """Names of the numbers of each array in a table, after the array's own name."""
    return {
        "score": [""],
        "box": ["x0", "y0", "x1", "y1"],
        "global_orient": list(XYZ),
        "hand_pose": [f"{j}_{axis}" for j in MODEL_JOINT_NAMES[1:] for axis in XYZ],
        "betas": [str(number) for number in range(10)],
        "transl": list(XYZ),
        "joints_cam": [f"{joint}_{axis}" for joint in JOINT_NAMES for axis in XYZ],
        "joints_px": [f"{joint}_{axis}" for joint in JOINT_NAMES for axis in XY],
    }


PLACE = ("image", "frame", "time_s", "person")
OF_PICTURE = {"focal": XY, "center": XY}


def table(arrays: Arrays) -> str:
    """The ``twohand`` convention as CSV, a hand in each row."""
    names = columns()
    head = [*PLACE, "side"]
    for name, entries in (names | OF_PICTURE).items():
        head += [f"{name}_{entry}" if entry else name for entry in entries]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for person, side in np.argwhere(arrays["score"] > 0):
        values = [np.ravel(arrays[name][person][side]) for name in names]
        values += [arrays[name][person] for name in OF_PICTURE]
        numbers = [f"{number:.7g}" for number in np.concatenate(values)]
        writer.writerow([*_place(arrays, person), SIDES[side], *numbers])
    return text.getvalue()


def _place(arrays: Mapping[str, np.ndarray], person: int) -> list[Any]:
    """Picture and person of a row; a photograph has neither frame nor time."""
    image, frame, time_s, number = (arrays[name][person] for name in PLACE)
    return [
        image,
        "" if frame < 0 else frame,
        "" if np.isnan(time_s) else time_s,
        number,
    ]
