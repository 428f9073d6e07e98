"""Writing and reading the JSON files of ``twohand reconstruct``.

A file has a list ``people``. Each person has a right and a left hand, either of which
may be null. The file of a video has ``frames`` instead, a list of objects with
``frame``, ``time_s`` and ``people``. docs/result_files.md explains every field, and
``assets/result.schema.json`` is the JSON Schema.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax import __version__, mano, reading
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.geometry import cameras
from twohand_jax.inference import known_camera
from twohand_jax.mano.joints import JOINT_NAMES, MODEL_JOINT_NAMES
from twohand_jax.types import (
    NUM_JOINTS,
    NUM_VERTICES,
    SIDES,
    Camera,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
)

FORMAT, SCHEMA_VERSION = "twohand_jax result", 1
METRES, PIXELS, SCORES = 6, 2, 4
CONVENTIONS = {
    "units": "metres, radians, pixels; the first pixel's centre is (0, 0)",
    "axes": "camera frame: x right, y down, z forward",
    "hand_pose": "axis-angle of each of pose_joints about its parent, relative to the "
    "hand model's mean pose (smplx: flat_hand_mean=False)",
    "global_orient": "axis-angle about the wrist, in the camera frame",
    "transl": "added after posing; the wrist lies at joints_cam[0]",
    "left_hand": "of the left hand model, signs as in the picture (not mirrored)",
    "rel_trans": "left wrist minus right wrist, camera frame",
    "joints": list(JOINT_NAMES),
    "pose_joints": list(MODEL_JOINT_NAMES[1:]),
}


class PictureInfo(NamedTuple):
    """A picture that a result is about.

    Attributes:
        file: file of the picture or the video.
        height: height in pixels.
        width: width in pixels.
        frame: number of the frame in a video, from 0; None for a photograph.
        time_s: time of the frame in the video, seconds; None if it is not known.
        camera_from: source of the camera, see ``Reconstruction.camera_from``.
    """

    file: str
    height: int
    width: int
    frame: int | None = None
    time_s: float | None = None
    camera_from: tuple[str, str] = (known_camera.DIAGONAL, known_camera.MIDDLE)


class Persons(NamedTuple):
    """What is known of each of ``n`` people besides the prediction.

    Attributes:
        picture: index of the person's picture in the result.
        number: number of the person in the picture.
        refined: whether the two-hand prior changed the person's hands.
        max_depth_mm: penetration of the hands, millimetres; NaN if it is not known.
        volume_cm3: volume that the hands share; NaN if it is not known.
        before: parameters (n, 2, …) before the refinement, for hands that the prior
            changed; NaN for others.
    """

    picture: Int[np.ndarray, "n"]
    number: Int[np.ndarray, "n"]
    refined: Bool[np.ndarray, "n"]
    max_depth_mm: Float[np.ndarray, "n"]
    volume_cm3: Float[np.ndarray, "n"]
    before: ManoParams


class Result(NamedTuple):
    """The people of one or more pictures.

    Attributes:
        prediction: numpy arrays with a leading axis of people. Absent hands have the
            score 0 and NaN elsewhere; ``rel_trans`` of people with one hand is NaN.
        persons: what else is known of them, with the same axis.
        pictures: all pictures, with and without people.
        model: name of the hand model.
    """

    prediction: Prediction
    persons: Persons
    pictures: tuple[PictureInfo, ...]
    model: str


def to_json(
    people: Prediction,
    info: PictureInfo,
    *,
    model: str,
    refined: Sequence[bool] = (False,),
    before: Sequence[ManoParams | None] = (),
    penetration: Sequence[dict[str, float | None] | None] = (None,),
) -> dict[str, Any]:
    """The people of one picture as plain values.

    Args:
        people: with a leading axis of people; a person without hands is left out.
        info: of the picture.
        model: name of the hand model that the parameters belong to.
        refined: whether the diffusion prior changed each person's hands.
        before: parameters of each person's hands before that; None, or nothing at all,
            where they are not to be told.
        penetration: ``max_depth_mm`` and ``volume_cm3`` of each person's hands.
    """
    host = jax.tree.map(np.asarray, people)
    earlier = [*before, *[None] * (len(penetration) - len(before))]
    persons = [
        {
            **person_json(
                jax.tree.map(lambda leaf, at=at: leaf[at], host), refined[at], deep
            ),
            **_before(earlier[at] if refined[at] else None),
        }
        for at, deep in enumerate(penetration)
        if (host.score[at] > 0).any()
    ]
    camera = jax.tree.map(lambda leaf: leaf[0], host.camera)
    return {
        **header(info, camera, model=model),
        "people": persons,
        "conventions": CONVENTIONS,
    }


def header(info: PictureInfo, camera: Camera, *, model: str) -> dict[str, Any]:
    """What a result says before its people.

    Args:
        info: of the picture or video.
        camera: of all people, host arrays.
        model: name of the hand model that the parameters belong to.
    """
    focal_from, center_from = info.camera_from
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "made_by": f"twohand_jax {__version__}",
        "hand_model": model,
        "image": {
            "file": info.file,
            "width": info.width,
            "height": info.height,
            "frame": info.frame,
            "time_s": info.time_s,
        },
        "camera": {
            "focal": _list(camera.focal, PIXELS),
            "center": _list(camera.center, PIXELS),
            "focal_from": focal_from,
            "center_from": center_from,
        },
    }


def person_json(
    host: Prediction, refined: bool, penetration: dict[str, float | None] | None
) -> dict[str, Any]:
    """A person as plain values.

    Args:
        host: without batch axis, host arrays.
        refined: whether the diffusion prior changed the hands.
        penetration: see ``to_json``.
    """
    both = bool((host.score > 0).all())
    pixels = np.asarray(cameras.project(host.geometry.joints, _each_hand(host.camera)))
    return {
        **{
            name: _hand(host, pixels[side], side) if host.score[side] > 0 else None
            for side, name in enumerate(SIDES)
        },
        "rel_trans": _list(host.rel_trans, METRES) if both else None,
        "penetration": penetration if both else None,
        "refined": bool(refined),
    }


def _before(params: ManoParams | None) -> dict[str, Any]:
    """A field of a person whose hands were others; nothing of one whose were not."""
    if params is None:
        return {}
    hands = {
        name: {
            key: _list(np.asarray(value)[side], METRES)
            for key, value in params._asdict().items()
        }
        for side, name in enumerate(SIDES)
    }
    return {"before_refinement": hands}


def _each_hand(camera: Camera) -> Camera:
    return Camera(*(np.broadcast_to(value, (2, 2)) for value in camera))


def _hand(host: Prediction, pixels: Float[np.ndarray, "21 2"], side: int) -> dict:
    params = {name: value[side] for name, value in host.mano._asdict().items()}
    return {
        "score": max(round(float(host.score[side]), SCORES), 10**-SCORES),
        "box": _list(host.box[side], PIXELS),
        **{name: _list(value, METRES) for name, value in params.items()},
        "joints_cam": _list(host.geometry.joints[side], METRES),
        "joints_px": _list(pixels, PIXELS),
    }


def _list(values: np.ndarray, digits: int) -> list[Any]:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def load_result(path: str | Path, model: ManoModel | None = None) -> Result:
    """Read a result file and pose its hands.

    Args:
        path: a JSON file that ``twohand reconstruct`` wrote.
        model: the hand model of the result, by default the open hand.

    Raises:
        InputError: the file is missing, damaged, of another version or not a result,
            or the result belongs to another hand model.
    """
    return pose(read(path), model, str(path))


def read(path: str | Path) -> Result:
    """Read a result file without posing its hands; their vertices are NaN."""
    content = read_content(Path(path))
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"{path} is damaged or was changed: {reason}; make the result again."
        ) from error


def read_content(path: Path) -> dict[str, Any]:
    """The JSON object of a result file of this version.

    Raises:
        InputError: the file is missing, not JSON, or not a result of this version.
    """
    try:
        content = reading.read_json(path, limit=reading.FILE_BYTES)
    except MissingFileError as error:
        raise InputError(f"There is no result file {path}.") from error
    if not is_result(content):
        raise InputError(
            f"{path} is not a result file that this version of twohand_jax reads; "
            "expected the JSON of `twohand reconstruct`; results of earlier versions "
            "must be made again."
        )
    if content["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{path} has the schema version {content['schema_version']!r}, but this "
            f"version of twohand_jax reads {SCHEMA_VERSION}; install the version that "
            f"wrote it ({content.get('made_by')})."
        )
    return content


def is_result(content: Any) -> bool:
    """Whether plain values are those of a result file."""
    is_one = isinstance(content, dict) and content.get("format") == FORMAT
    return is_one and "schema_version" in content


def pose(result: Result, model: ManoModel | None, where: str) -> Result:
    """Pose the hands of a result that was read.

    Args:
        result: from ``read``.
        model: its hand model; the open hand when left out.
        where: the file for messages.
    """
    model = mano.load() if model is None else model
    check_model(result, model, where)
    prediction = result.prediction
    there = prediction.score > 0
    vertices = pose_params(prediction.mano, there, model)
    geometry = prediction.geometry._replace(vertices=vertices)
    return result._replace(prediction=prediction._replace(geometry=geometry))


def check_model(result: Result, model: ManoModel, where: str) -> None:
    """Refuse a hand model other than that of the result."""
    if result.model != model.name:
        raise InputError(
            f"{where} is of the hand model {result.model!r}, not {model.name!r}; load "
            "that one (mano.load(DIR), on the command line --mano DIR)."
        )


def pose_params(
    params: ManoParams, there: Bool[np.ndarray, "n 2"], model: ManoModel
) -> Float[np.ndarray, "n 2 778 3"]:
    """Vertices of people's hands; NaN for those that are not there."""
    known = jax.tree.map(
        lambda leaf: np.where(_beside(there, leaf), leaf, 0.0).astype(np.float32),
        params,
    )
    vertices = np.asarray(mano.forward(model, known).vertices)
    return np.where(there[..., None, None], vertices, np.nan)


def _beside(there: Bool[np.ndarray, "n 2"], leaf: np.ndarray) -> np.ndarray:
    return there.reshape(*there.shape, *[1] * (leaf.ndim - 2))


def joined(results: Sequence[Result]) -> Result:
    """Join results of one hand model, for tables.

    Raises:
        InputError: they are of several hand models.
    """
    names = sorted({result.model for result in results})
    if len(names) != 1:
        raise InputError(
            f"The results are of several hand models ({', '.join(names)}); convert "
            "those of one at a time."
        )
    rows: list[tuple[Prediction, Persons]] = []
    pictures: list[PictureInfo] = []
    for prediction, persons, infos, _ in results:
        at = persons.picture + len(pictures)
        rows.append((prediction, persons._replace(picture=at)))
        pictures += infos
    prediction, persons = jax.tree.map(lambda *parts: np.concatenate(parts), *rows)
    return Result(prediction, persons, tuple(pictures), names[0])


def _parse(content: dict[str, Any]) -> Result:
    about = content["camera"]
    camera = Camera(*(_array(about[name], (2,)) for name in ("focal", "center")))
    camera_from = (str(about["focal_from"]), str(about["center_from"]))
    pictures: list[PictureInfo] = []
    # One row more than there are people, which gives the shapes where nobody is.
    nobody = dict.fromkeys((*SIDES, "rel_trans", "penetration", "refined"))
    rows = [_row(nobody, camera, 0, 0)]
    for frame in content.get("frames") or [{**content["image"], **content}]:
        image = {**content["image"], **frame}
        info = PictureInfo(
            file=str(image["file"]),
            height=int(image["height"]),
            width=int(image["width"]),
            frame=None if image["frame"] is None else int(image["frame"]),
            time_s=None if image["time_s"] is None else float(image["time_s"]),
            camera_from=camera_from,
        )
        for number, person in enumerate(frame["people"]):
            # In a clip a person keeps the number, also where others are not there.
            of = int(person.get("person", number + 1)) - 1
            rows.append(_row(person, camera, len(pictures), of))
        pictures.append(info)
    prediction, persons = jax.tree.map(lambda *parts: np.stack(parts)[1:], *rows)
    return Result(prediction, persons, tuple(pictures), str(content["hand_model"]))


def _row(
    person: dict[str, Any], camera: Camera, picture: int, number: int
) -> tuple[Prediction, Persons]:
    hands = [person[side] for side in SIDES]
    earlier = person.get("before_refinement") or dict.fromkeys(SIDES)

    def both(name: str, *shape: int) -> Float[np.ndarray, "2 ..."]:
        return _both(hands, name, *shape)

    prediction = Prediction(
        mano=_params(hands),
        geometry=HandGeometry(
            vertices=np.full((2, NUM_VERTICES, 3), np.nan, np.float32),
            joints=both("joints_cam", NUM_JOINTS, 3),
        ),
        rel_trans=_array(person["rel_trans"], (3,)),
        camera=camera,
        box=both("box", 4),
        score=np.nan_to_num(both("score")),
    )
    depth = person["penetration"] or {"max_depth_mm": None, "volume_cm3": None}
    persons = Persons(
        picture=np.array(picture),
        number=np.array(number),
        refined=np.array(bool(person["refined"])),
        max_depth_mm=_array(depth["max_depth_mm"], ()),
        volume_cm3=_array(depth["volume_cm3"], ()),
        before=_params([earlier[side] for side in SIDES]),
    )
    return prediction, persons


def _params(hands: Sequence[dict[str, Any] | None]) -> ManoParams:
    """The parameters of a right and a left hand."""
    return ManoParams(
        global_orient=_both(hands, "global_orient", 3),
        hand_pose=_both(hands, "hand_pose", 15, 3),
        betas=_both(hands, "betas", 10),
        transl=_both(hands, "transl", 3),
    )


def _both(
    hands: Sequence[dict[str, Any] | None], name: str, *shape: int
) -> Float[np.ndarray, "2 ..."]:
    """A field of a right and a left hand."""
    return np.stack([_array(hand and hand[name], shape) for hand in hands])


def _array(value: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Finite numbers of a shape; NaN for null."""
    if value is None:
        return np.full(shape, np.nan, np.float32)
    array = np.asarray(value, np.float32)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"it holds {value!r:.60} instead of numbers {shape}")
    return array
