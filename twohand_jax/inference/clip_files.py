"""The files of a whole video: arrays, JSON, an animation and a video to look at."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax import files, mano
from twohand_jax.geometry import cameras
from twohand_jax.inference import result_file
from twohand_jax.inference.clip import Clip
from twohand_jax.inference.motion import PersonMotion
from twohand_jax.inference.predict import EMPTY
from twohand_jax.inference.result_file import PictureInfo
from twohand_jax.mano.params import rest_wrist
from twohand_jax.types import (
    SIDES,
    Camera,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
)
from twohand_jax.viz import skinned_glb, video_overlay
from twohand_jax.viz.overlay import hand_meshes

ENDINGS = (".json", ".npz", ".glb", "_overlay.mp4")
POSED = 64  # frames that are posed at a time


class ClipResult(NamedTuple):
    """A video and the people in it.

    Attributes:
        clip: the video.
        info: what the result says of it.
        camera: of all frames, host arrays.
        number: of each frame in the video.
        time_s: of each frame, seconds.
        people: in all frames, those seen most first.
        model: hand model.
    """

    clip: Clip
    info: PictureInfo
    camera: Camera
    number: np.ndarray
    time_s: np.ndarray
    people: list[PersonMotion]
    model: ManoModel


def write(beside: Path, name: str, result: ClipResult) -> None:
    """Write all files of a video but the one to look at.

    Args:
        beside: folder to write in.
        name: stem of the files.
        result: what they say.
    """
    joints = [
        np.concatenate([np.asarray(part.joints) for part in posed(result, person)])
        for person in result.people
    ]
    files.write_bytes(beside / f"{name}.json", _json(result, joints))
    files.write_npz(beside / f"{name}.npz", arrays(result, joints))
    if result.people:
        (beside / f"{name}.glb").write_bytes(_glb(result))


def write_overlay(
    beside: Path,
    name: str,
    result: ClipResult,
    images: Iterator[UInt8[np.ndarray, "h w 3"]],
) -> None:
    """Write the video to look at: the frames with the hands on them.

    Args:
        beside: folder to write in.
        name: stem of the file.
        result: of all frames.
        images: the frames.
    """
    rate = result.clip.rate / result.clip.config.stride
    drawn = _drawn(result, images)
    video_overlay.write(beside / f"{name}_overlay.mp4", drawn, rate)


def _drawn(
    result: ClipResult, images: Iterator[UInt8[np.ndarray, "h w 3"]]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    streams = [
        (vertices for part in posed(result, person) for vertices in part.vertices)
        for person in result.people
    ]
    for frame, image in enumerate(images):
        meshes = []
        for person, stream in zip(result.people, streams, strict=True):
            vertices, there = next(stream), person.present[frame]
            meshes += hand_meshes(result.model, vertices, there)
        yield video_overlay.draw(image, meshes, result.camera)


def params_of(result: ClipResult, person: PersonMotion) -> ManoParams:
    """A person's parameters in all frames, host arrays."""
    betas = np.broadcast_to(person.betas, (len(result.number), 2, 10))
    at_rest = np.asarray(_rest_wrist(result.model, betas[0]))
    leaves = (person.motion.orient, person.motion.pose, betas)
    transl = person.motion.wrist - at_rest
    return ManoParams(*(leaf.astype(np.float32) for leaf in (*leaves, transl)))


_forward = jax.jit(mano.forward)
_rest_wrist = jax.jit(rest_wrist)


def posed(
    result: ClipResult, person: PersonMotion, first: int = 0
) -> Iterator[HandGeometry]:
    """A person's surface and joints from a frame on, some frames at a time."""
    params, count = params_of(result, person), len(result.number)
    for start in range(first, count, POSED):
        rows = np.minimum(np.arange(start, start + POSED), count - 1)
        some = ManoParams(*(leaf[rows] for leaf in params))
        geometry = _forward(result.model, some)
        yield HandGeometry(*(np.asarray(x)[: count - start] for x in geometry))


def arrays(
    result: ClipResult, joints: Sequence[Float[np.ndarray, "f 2 21 3"]]
) -> dict[str, np.ndarray]:
    """The arrays of the NPZ file: frames, then people, then right and left hand.

    Hands that are not there are NaN. The surface is left out, by its size:
    ``mano.forward`` makes it of the parameters.
    """
    people = result.people
    params = [params_of(result, person) for person in people]
    present = _stacked([person.present for person in people], result, (2,), bool)

    def each(values: Sequence[np.ndarray], *shape: int) -> np.ndarray:
        whole = _stacked(values, result, (2, *shape), np.float32)
        return np.where(
            present.reshape(*present.shape, *[1] * len(shape)), whole, np.nan
        )

    betas = [person.betas for person in people]
    pixels = [cameras.project(points, _all(result.camera, points)) for points in joints]
    return {
        "frame": result.number,
        "time_s": result.time_s,
        "present": present,
        "bridged": _stacked([person.bridged for person in people], result, (2,), bool),
        "score": each([person.score for person in people]),
        "box": each([person.box for person in people], 4),
        "betas": np.stack(betas) if betas else np.zeros((0, 10), np.float32),
        "global_orient": each([one.global_orient for one in params], 3),
        "hand_pose": each([one.hand_pose for one in params], 15, 3),
        "transl": each([one.transl for one in params], 3),
        "joints_cam": each(joints, 21, 3),
        "joints_px": each([np.asarray(one) for one in pixels], 21, 2),
        "focal": np.asarray(result.camera.focal),
        "center": np.asarray(result.camera.center),
        "size": np.array(result.clip.size),
    }


def _all(camera: Camera, points: np.ndarray) -> Camera:
    return Camera(*(np.broadcast_to(x, (*points.shape[:2], 2)) for x in camera))


def _stacked(
    values: Sequence[np.ndarray], result: ClipResult, shape: tuple[int, ...], kind: type
) -> np.ndarray:
    """Arrays of people as one, frames first."""
    if not values:
        return np.zeros((len(result.number), 0, *shape), kind)
    return np.stack(values, axis=1).astype(kind)


def _json(
    result: ClipResult, joints: Sequence[Float[np.ndarray, "f 2 21 3"]]
) -> Iterator[bytes]:
    """The JSON file, a line for each frame: of all frames at once it would be large."""
    clip, config = result.clip, result.clip.config
    head = {
        **result_file.header(result.info, result.camera, model=result.model.name),
        "clip": {
            "rate": clip.rate,
            "stride": config.stride,
            "start_s": config.start,
            "end_s": config.end,
            "note": clip.note,
        },
        "conventions": result_file.CONVENTIONS,
    }
    params = [params_of(result, person) for person in result.people]
    yield json.dumps(head, indent=1)[:-2].encode() + b',\n "frames": [\n'
    for frame in range(len(result.number)):
        people = [
            _person_json(result, number, frame, params[number], joints[number])
            for number, person in enumerate(result.people)
            if person.present[frame].any()
        ]
        line = {
            "frame": int(result.number[frame]),
            "time_s": round(float(result.time_s[frame]), 6),
            "people": people,
        }
        comma = "," if frame + 1 < len(result.number) else ""
        yield f"  {json.dumps(line, separators=(',', ':'))}{comma}\n".encode()
    yield b" ]\n}\n"


def _person_json(
    result: ClipResult,
    number: int,
    frame: int,
    params: ManoParams,
    joints: Float[np.ndarray, "f 2 21 3"],
) -> dict[str, Any]:
    person = result.people[number]
    host: Prediction = EMPTY._replace(
        mano=ManoParams(*(leaf[frame] for leaf in params)),
        geometry=HandGeometry(EMPTY.geometry.vertices, joints[frame]),
        rel_trans=joints[frame, 1, 0] - joints[frame, 0, 0],
        camera=result.camera,
        box=person.box[frame],
        score=person.score[frame],
    )
    content = result_file.person_json(host, False, None)
    for side, name in enumerate(SIDES):
        if content[name] is not None:
            content[name]["bridged"] = bool(person.bridged[frame, side])
    return {**content, "person": number + 1}


def _glb(result: ClipResult) -> bytes:
    moving = []
    for number, person in enumerate(result.people):
        params = params_of(result, person)
        for side in np.flatnonzero(person.present.any(axis=0)).tolist():
            at = _exact_frame(person.present[:, side] & ~person.bridged[:, side])
            vertices = next(posed(result, person, at)).vertices[0]
            there = person.present[:, side]
            motion = skinned_glb.hand_motion(
                result.model, params, side, there, vertices, at
            )
            suffix = f"_{number + 1}" if number else ""
            name = motion.hand.name.replace("_hand", f"{suffix}_hand")
            moving.append(motion._replace(hand=motion.hand._replace(name=name)))
    return skinned_glb.animated_glb(moving, result.time_s - result.time_s[0])


def _exact_frame(seen: Bool[np.ndarray, "f"]) -> int:
    """The middle one of the frames that saw a hand."""
    frames = np.flatnonzero(seen)
    return int(frames[len(frames) // 2])
