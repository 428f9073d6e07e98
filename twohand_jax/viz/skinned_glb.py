"""Hands as binary glTF with a skeleton each, for Blender, three.js and the like.

A hand is one mesh with the model's vertices in their order, at rest, and a skin of the
model's 16 joints, whose nodes hold the pose. What is drawn is the posed surface: x
right, y up, z towards the photographer, in metres. Readers that know no skins see the
hand at rest about the origin.
"""

import io
import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax.collision import vertex_normals
from twohand_jax.mano.joints import MODEL_JOINT_NAMES, PARENTS, WRIST
from twohand_jax.mano.topology import close_wrist
from twohand_jax.types import SIDES, ManoModel, ManoParams
from twohand_jax.viz.render import HAND_COLORS

# Numbers of the glTF 2.0 specification.
FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT = 5126, 5121, 5123
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
COMPONENTS = {"float32": FLOAT, "uint8": UNSIGNED_BYTE, "uint16": UNSIGNED_SHORT}
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
INFLUENCES = 4  # joints of a vertex in one set of weights, all that three.js reads
# Half a turn about x, from the camera's axes to glTF's, as a quaternion x, y, z, w.
GLTF_FROM_CAMERA = np.array([1.0, 0.0, 0.0, 0.0])


class SkinnedHand(NamedTuple):
    """A hand at rest, and the pose of its joints.

    Attributes:
        name: of the hand, the beginning of its nodes' names.
        color: linear or not as ``viz.render.HAND_COLORS``.
        vertices: at rest, in the model's frame, metres.
        faces: outside counter-clockwise, the wrist closed.
        normals: unit, at rest.
        joints: at rest, in the model's order.
        influences: the joints that move each vertex.
        weights: how much they do; they sum up to 1.
        rotations: of each joint against its parent, quaternions x, y, z, w; the
            wrist's in glTF's axes.
        wrist: its place in glTF's axes.
    """

    name: str
    color: tuple[float, float, float]
    vertices: Float[np.ndarray, "778 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "778 3"]
    joints: Float[np.ndarray, "16 3"]
    influences: Int[np.ndarray, "778 4"]
    weights: Float[np.ndarray, "778 4"]
    rotations: Float[np.ndarray, "16 4"]
    wrist: Float[np.ndarray, "3"]


def hands(
    model: ManoModel,
    params: ManoParams,
    vertices: Float[np.ndarray, "2 778 3"],
    present: Sequence[int] | Int[np.ndarray, "n"],
) -> list[SkinnedHand]:
    """The hands of a pair that are there.

    Args:
        model: hand model.
        params: without batch axis, camera frame.
        vertices: that these parameters give. The rest surface is such that the skin
            moves it exactly there, with what the pose itself changes of the surface.
        present: sides that are there.
    """
    return [_hand(model, params, np.asarray(vertices), int(side)) for side in present]


def _hand(
    model: ManoModel, params: ManoParams, vertices: np.ndarray, side: int
) -> SkinnedHand:
    host = ManoParams(*(np.asarray(leaf[side], np.float64) for leaf in params))
    shapedirs = np.asarray(model.joint_shapedirs[side], np.float64)
    joints = np.asarray(model.joint_template[side]) + shapedirs @ host.betas
    pose = host.hand_pose + np.asarray(model.pose_mean[side])
    local = _quaternions(np.concatenate([host.global_orient[None], pose]))
    influences, weights = _strongest(np.asarray(model.weights[side], np.float64))
    moves = _moves(local, joints)  # about the camera's origin, before the translation
    blended = np.einsum("vi,viab->vab", weights, moves[influences])
    posed = vertices[side] - host.transl - blended[:, :, 3]
    rest = np.linalg.solve(blended[:, :, :3], posed[..., None])[..., 0]
    faces = np.asarray(model.faces[side])
    wrist = (joints[WRIST] + host.transl) * [1.0, -1.0, -1.0]
    local[WRIST] = _product(GLTF_FROM_CAMERA, local[WRIST])
    return SkinnedHand(
        name=f"{SIDES[side]}_hand",
        color=HAND_COLORS[side],
        vertices=rest,
        faces=close_wrist(faces),
        normals=np.asarray(vertex_normals(rest, faces)),
        joints=joints,
        influences=influences,
        weights=weights,
        rotations=local,
        wrist=wrist,
    )


def _strongest(
    weights: Float[np.ndarray, "778 16"],
) -> tuple[Int[np.ndarray, "778 4"], Float[np.ndarray, "778 4"]]:
    """The four joints that move each vertex most, and their weights."""
    influences = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, influences, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return np.where(kept > 0, influences, 0), kept


def _quaternions(axis_angle: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    angle = np.linalg.norm(axis_angle, axis=-1, keepdims=True)
    scale = np.sinc(angle / 2 / np.pi) / 2  # sin(angle / 2) / angle
    return np.concatenate([axis_angle * scale, np.cos(angle / 2)], axis=-1)


def _product(
    first: Float[np.ndarray, "4"], second: Float[np.ndarray, "*n 4"]
) -> Float[np.ndarray, "*n 4"]:
    """Hamilton's product of quaternions x, y, z, w."""
    (a, u), (b, v) = (first[3], first[:3]), (second[..., 3:], second[..., :3])
    imaginary = a * v + b * u + np.cross(u, v)
    return np.concatenate([imaginary, a * b - (v @ u)[..., None]], axis=-1)


class HandMotion(NamedTuple):
    """A hand in the frames of a clip.

    Attributes:
        hand: at rest, posed as in one of the frames.
        rotations: of each joint against its parent as in ``SkinnedHand``.
        wrists: places in glTF's axes.
        present: where the hand is there.
    """

    hand: SkinnedHand
    rotations: Float[np.ndarray, "f 16 4"]
    wrists: Float[np.ndarray, "f 3"]
    present: Bool[np.ndarray, "f"]


def hand_motion(
    model: ManoModel,
    params: ManoParams,
    side: int,
    present: Bool[np.ndarray, "f"],
    vertices: Float[np.ndarray, "2 778 3"],
    at: int,
) -> HandMotion:
    """One hand of a pair in motion.

    The skin moves the surface exactly in one frame; in others it leaves out what the
    pose itself changes of the surface since then.

    Args:
        model: hand model.
        params: of both hands in all frames, of one shape.
        side: of the hand.
        present: where it is there.
        vertices: of both hands in the exact frame.
        at: the exact frame.
    """
    one = ManoParams(*(np.asarray(leaf[at]) for leaf in params))
    hand = _hand(model, one, vertices, side)
    host = ManoParams(*(np.asarray(leaf[:, side], np.float64) for leaf in params))
    pose = host.hand_pose + np.asarray(model.pose_mean[side])
    local = _quaternions(np.concatenate([host.global_orient[:, None], pose], axis=1))
    local[:, WRIST] = _product(GLTF_FROM_CAMERA, local[:, WRIST])
    # Of both quaternions of a rotation the nearer one, so that players turn that way.
    turned = np.sum(local[1:] * local[:-1], axis=-1) < 0
    sign = np.cumprod(np.where(turned, -1.0, 1.0), axis=0)
    local[1:] *= sign[..., None]
    wrists = (hand.joints[WRIST] + host.transl) * [1.0, -1.0, -1.0]
    return HandMotion(hand, local, wrists, present)


def _matrix(quaternion: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    *axis, w = quaternion
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def _moves(
    rotations: Float[np.ndarray, "16 4"], joints: Float[np.ndarray, "16 3"]
) -> Float[np.ndarray, "16 3 4"]:
    """What each joint does to points at rest, ``R p + t``, as ``[R | t]``."""
    world: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        R = _matrix(rotations[joint])
        if parent < 0:
            world.append(R)
            places.append(joints[joint])
            continue
        world.append(world[parent] @ R)
        bone = joints[joint] - joints[parent]
        places.append(places[parent] + world[parent] @ bone)
    offsets = [
        place - R @ rest for place, R, rest in zip(places, world, joints, strict=True)
    ]
    return np.concatenate([np.stack(world), np.stack(offsets)[..., None]], axis=-1)


def glb(hands: Sequence[SkinnedHand]) -> bytes:
    """The bytes of a glTF 2.0 binary file."""
    writer = _Writer()
    for hand in hands:
        writer.add(hand)
    return writer.content()


def animated_glb(hands: Sequence[HandMotion], times: Float[np.ndarray, "f"]) -> bytes:
    """The bytes of a glTF 2.0 binary file with one animation.

    Args:
        hands: in the same frames.
        times: of these, seconds from the first one.
    """
    writer = _Writer()
    for hand in hands:
        writer.add(hand.hand)
    writer.animate(hands, times)
    return writer.content()


class _Writer:
    """The JSON tree of a glTF file and its one buffer, as they grow."""

    def __init__(self) -> None:
        self._binary = io.BytesIO()
        names = "nodes meshes skins materials accessors bufferViews".split()
        self._tree: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        self._roots: list[int] = []
        self._nodes: dict[str, list[int]] = {}

    def animate(
        self, hands: Sequence[HandMotion], times: Float[np.ndarray, "f"]
    ) -> None:
        """Let the joints' nodes move; hands that are not there shrink to nothing."""
        when = self._accessor(times.astype(np.float32), None)
        range_ = {"min": [float(np.float32(times[0]))]}
        range_["max"] = [float(np.float32(times[-1]))]
        self._tree["accessors"][when] |= range_
        samplers: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []

        def move(node: int, path: str, values: np.ndarray, way: str = "LINEAR") -> None:
            output = self._accessor(values.astype(np.float32), None)
            target = {"node": node, "path": path}
            channels.append({"sampler": len(samplers), "target": target})
            samplers.append({"input": when, "output": output, "interpolation": way})

        for hand in hands:
            nodes = self._nodes[hand.hand.name]
            for joint, node in enumerate(nodes):
                move(node, "rotation", hand.rotations[:, joint])
            move(nodes[WRIST], "translation", hand.wrists)
            if not hand.present.all():
                scale = np.repeat(hand.present[:, None], 3, axis=1)
                move(nodes[WRIST], "scale", scale, "STEP")
        animation = {"name": "clip", "samplers": samplers, "channels": channels}
        self._tree["animations"] = [animation]

    def add(self, hand: SkinnedHand) -> None:
        joints = self._joints(hand)
        self._nodes[hand.name] = joints
        matrices = np.tile(np.eye(4), (len(joints), 1, 1))
        matrices[:, :3, 3] = -hand.joints
        inverse = self._accessor(matrices.transpose(0, 2, 1).astype(np.float32), None)
        skin = {"joints": joints, "inverseBindMatrices": inverse, "name": hand.name}
        mesh = {"name": hand.name, "primitives": [self._primitive(hand)]}
        node = {
            "name": hand.name,
            "mesh": self._append("meshes", mesh),
            "skin": self._append("skins", skin),
        }
        self._roots += [joints[WRIST], self._append("nodes", node)]

    def content(self) -> bytes:
        length = self._binary.tell()
        tree: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "twohand_jax"},
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            **self._tree,
            "buffers": [{"byteLength": length}],
        }
        text = json.dumps(tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = [(JSON_CHUNK, text), (BINARY_CHUNK, self._binary.getvalue())]
        body = b"".join(
            struct.pack("<II", len(data), kind) + data for kind, data in chunks
        )
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body

    def _joints(self, hand: SkinnedHand) -> list[int]:
        """A node for each joint, below its parent."""
        first = len(self._tree["nodes"])
        side = hand.name.removesuffix("_hand")
        for joint, parent in enumerate(PARENTS):
            bone = hand.joints[joint] - hand.joints[parent]
            place = hand.wrist if parent < 0 else bone
            node: dict[str, Any] = {
                "name": f"{side}_{MODEL_JOINT_NAMES[joint]}",
                "translation": place.astype(np.float32).tolist(),
                "rotation": hand.rotations[joint].tolist(),
            }
            children = [first + at for at, of in enumerate(PARENTS) if of == joint]
            if children:
                node["children"] = children
            self._append("nodes", node)
        return list(range(first, first + len(PARENTS)))

    def _primitive(self, hand: SkinnedHand) -> dict[str, Any]:
        material = {
            "name": hand.name,
            "pbrMetallicRoughness": {
                "baseColorFactor": [*(c**2.2 for c in hand.color), 1.0],  # linear
                "metallicFactor": 0.0,
                "roughnessFactor": 0.7,
            },
        }
        arrays: dict[str, np.ndarray] = {
            "POSITION": hand.vertices.astype(np.float32),
            "NORMAL": hand.normals.astype(np.float32),
            "JOINTS_0": hand.influences.astype(np.uint8),
            "WEIGHTS_0": hand.weights.astype(np.float32),
        }
        faces = hand.faces.reshape(-1).astype(np.uint16)
        return {
            "attributes": {
                name: self._accessor(array, ARRAY_BUFFER)
                for name, array in arrays.items()
            },
            "indices": self._accessor(faces, ELEMENT_ARRAY_BUFFER),
            "material": self._append("materials", material),
        }

    def _accessor(self, array: np.ndarray, target: int | None) -> int:
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self._binary.tell()}
        view["byteLength"] = array.nbytes
        if target is not None:
            view["target"] = target
        self._binary.write(array.tobytes() + b"\0" * (-array.nbytes % 4))
        accessor: dict[str, Any] = {
            "bufferView": self._append("bufferViews", view),
            "componentType": COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": TYPES[array.shape[1:]],
        }
        if array.shape[1:] == (3,):
            accessor["min"] = array.min(axis=0).tolist()
            accessor["max"] = array.max(axis=0).tolist()
        return self._append("accessors", accessor)

    def _append(self, kind: str, entry: dict[str, Any]) -> int:
        self._tree[kind].append(entry)
        return len(self._tree[kind]) - 1
