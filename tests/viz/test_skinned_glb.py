"""Hands with skeletons: what the glTF says, computed here as the specification does."""

import dataclasses
import json
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from trimesh.transformations import quaternion_matrix

from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.mano.joints import MODEL_JOINT_NAMES
from twohand_jax.types import NUM_VERTICES, ManoParams
from twohand_jax.viz import skinned_glb

GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0])
DTYPES = {5126: "<f4", 5121: "<u1", 5123: "<u2"}
SIZES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


def parts(content: bytes) -> tuple[dict, bytes]:
    """The JSON tree and the binary chunk."""
    length = int.from_bytes(content[12:16], "little")
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def accessor(tree: dict, binary: bytes, index: int) -> np.ndarray:
    entry = tree["accessors"][index]
    view = tree["bufferViews"][entry["bufferView"]]
    shape = (entry["count"], *SIZES[entry["type"]])
    piece = binary[view["byteOffset"] :][: view["byteLength"]]
    return np.frombuffer(piece, DTYPES[entry["componentType"]]).reshape(shape)


def world(tree: dict) -> list[np.ndarray]:
    """Each node's matrix in the scene."""
    out: list[np.ndarray] = [np.eye(4)] * len(tree["nodes"])

    def place(index: int, above: np.ndarray) -> None:
        node = tree["nodes"][index]
        own = np.eye(4)
        if "rotation" in node:
            x, y, z, w = node["rotation"]
            own = quaternion_matrix([w, x, y, z])
            own[:3, 3] = node["translation"]
        out[index] = above @ own
        for child in node.get("children", ()):
            place(child, out[index])

    for root in tree["scenes"][0]["nodes"]:
        place(root, np.eye(4))
    return out


def drawn(tree: dict, binary: bytes, node: dict) -> np.ndarray:
    """The vertices of a skinned mesh where they are drawn (glTF 2.0, 3.7.3.3)."""
    skin = tree["skins"][node["skin"]]
    attributes = tree["meshes"][node["mesh"]]["primitives"][0]["attributes"]
    points, joints, weights = (
        accessor(tree, binary, attributes[name])
        for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
    )
    stored = accessor(tree, binary, skin["inverseBindMatrices"])
    inverse = stored.transpose(0, 2, 1)  # by columns
    places = world(tree)
    moves = np.stack([places[index] for index in skin["joints"]]) @ inverse
    blended = np.einsum("vi,viab->vab", weights, moves[joints])
    whole = np.append(points, np.ones((len(points), 1)), axis=1)
    return np.einsum("vab,vb->va", blended, whole)[:, :3]


def random_params(seed: int = 0) -> ManoParams:
    rng = np.random.default_rng(seed)
    return ManoParams(
        global_orient=jnp.asarray(rng.normal(0, 1, (2, 3)), jnp.float32),
        hand_pose=jnp.asarray(rng.normal(0, 0.3, (2, 15, 3)), jnp.float32),
        betas=jnp.asarray(rng.normal(0, 1, (2, 10)), jnp.float32),
        transl=jnp.asarray([[0.1, -0.05, 0.6], [-0.1, 0.0, 0.7]], jnp.float32),
    )


@pytest.fixture(scope="module")
def posed(model):
    params = random_params()
    vertices = np.asarray(mano.forward(model, params).vertices)
    hands = skinned_glb.hands(model, params, vertices, [0, 1])
    return vertices, skinned_glb.glb(hands)


def test_the_skin_draws_the_posed_surface(posed) -> None:
    vertices, content = posed
    tree, binary = parts(content)
    hands = [node for node in tree["nodes"] if "skin" in node]
    assert [node["name"] for node in hands] == ["right_hand", "left_hand"]
    for node, surface in zip(hands, vertices, strict=True):
        points = drawn(tree, binary, node)
        assert points.shape == (NUM_VERTICES, 3)
        np.testing.assert_allclose(points, surface * GLTF_FROM_CAMERA, atol=2e-6)
        skin = tree["skins"][node["skin"]]
        side = node["name"].split("_")[0]
        names = [tree["nodes"][joint]["name"] for joint in skin["joints"]]
        assert names == [f"{side}_{name}" for name in MODEL_JOINT_NAMES]


def test_the_file_is_built_as_the_specification_says(posed) -> None:
    """What the Khronos validator looks for, where it is not to be had."""
    content = posed[1]
    magic, version, length = np.frombuffer(content[:12], "<u4")
    assert (magic, version, length) == (0x46546C67, 2, len(content))
    tree, binary = parts(content)
    assert tree["buffers"] == [{"byteLength": len(binary)}]
    for view in tree["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
    for index, entry in enumerate(tree["accessors"]):
        values = accessor(tree, binary, index)
        size = tree["bufferViews"][entry["bufferView"]]["byteLength"]
        assert values.nbytes == size and np.isfinite(values).all()
        for name, extreme in (("min", values.min(0)), ("max", values.max(0))):
            if name in entry:
                np.testing.assert_array_equal(entry[name], np.atleast_1d(extreme))
    for node in tree["nodes"]:
        if "skin" in node:
            check_hand(tree, binary, node)
        else:
            assert np.linalg.norm(node["rotation"]) == pytest.approx(1, abs=1e-6)


def check_hand(tree: dict, binary: bytes, node: dict) -> None:
    (primitive,) = tree["meshes"][node["mesh"]]["primitives"]
    found = {
        name: accessor(tree, binary, index)
        for name, index in primitive["attributes"].items()
    }
    assert {len(values) for values in found.values()} == {NUM_VERTICES}
    assert {"min", "max"} <= set(tree["accessors"][primitive["attributes"]["POSITION"]])
    np.testing.assert_allclose(np.linalg.norm(found["NORMAL"], axis=1), 1, atol=5e-4)
    np.testing.assert_allclose(found["WEIGHTS_0"].sum(axis=1), 1, atol=1e-6)
    assert (found["WEIGHTS_0"] >= 0).all()
    assert not found["JOINTS_0"][found["WEIGHTS_0"] == 0].any()
    faces = accessor(tree, binary, primitive["indices"])
    assert faces.max() == NUM_VERTICES - 1
    skin = tree["skins"][node["skin"]]
    assert found["JOINTS_0"].max() < len(skin["joints"]) == len(MODEL_JOINT_NAMES)
    inverse = accessor(tree, binary, skin["inverseBindMatrices"]).transpose(0, 2, 1)
    np.testing.assert_array_equal(inverse[:, 3], [[0, 0, 0, 1]] * len(inverse))
    np.testing.assert_allclose(np.linalg.det(inverse[:, :3, :3]), 1, atol=1e-6)


FIND = 'try { require.resolve("gltf-validator") } catch { process.exit(1) }'
VALIDATE = """
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
require("gltf-validator").validateBytes(bytes)
  .then((report) => console.log(JSON.stringify(report.issues)));
"""


def test_the_khronos_validator_finds_nothing(posed, tmp_path) -> None:
    """Where node finds it: `npm install gltf-validator`, NODE_PATH at its folder."""
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", FIND], check=False).returncode:
        pytest.skip("the npm package gltf-validator is not installed")
    path = tmp_path / "a.glb"
    path.write_bytes(posed[1])
    done = subprocess.run([node, "-e", VALIDATE, path], capture_output=True, check=True)
    issues = json.loads(done.stdout)
    kinds = ("numErrors", "numWarnings", "numInfos", "numHints")
    assert [issues[kind] for kind in kinds] == [0, 0, 0, 0], issues["messages"]


def test_another_pose_of_the_joints_is_the_model_s(model, posed) -> None:
    """The open hand's surface does not change with the pose: its skin is all of it."""
    tree, binary = parts(posed[1])
    other = random_params(1)._replace(betas=random_params().betas)
    vertices = np.asarray(mano.forward(model, other).vertices)
    hands = skinned_glb.hands(model, other, vertices, [0, 1])
    bent, _ = parts(skinned_glb.glb(hands))
    tree["nodes"] = bent["nodes"]
    for node, surface in zip(tree["nodes"][16::17], vertices, strict=True):
        points = drawn(tree, binary, node)
        np.testing.assert_allclose(points, surface * GLTF_FROM_CAMERA, atol=2e-6)


def test_pose_blend_shapes_and_more_than_four_joints_a_vertex_are_met(model) -> None:
    random, params = fake_mano.random_model(2), random_params()
    other = dataclasses.replace(random, faces=model.faces)
    assert (np.asarray(other.weights) > 0).sum(axis=-1).max() > 4
    vertices = np.asarray(mano.forward(other, params).vertices)
    tree, binary = parts(
        skinned_glb.glb(skinned_glb.hands(other, params, vertices, [1]))
    )
    points = drawn(tree, binary, tree["nodes"][-1])
    np.testing.assert_allclose(points, vertices[1] * GLTF_FROM_CAMERA, atol=5e-6)


def test_another_reader_sees_surfaces_with_outward_faces(posed, tmp_path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(posed[1])
    scene = trimesh.load(path, process=False)
    assert set(scene.geometry) == {"right_hand", "left_hand"}
    for name, surface in scene.geometry.items():
        assert surface.vertices.shape == (NUM_VERTICES, 3)
        assert surface.is_watertight and surface.volume > 1e-4
        assert surface.visual.material.name == name


def test_one_hand(model) -> None:
    params = random_params()
    vertices = np.asarray(mano.forward(model, params).vertices)
    tree, _ = parts(skinned_glb.glb(skinned_glb.hands(model, params, vertices, [1])))
    assert [mesh["name"] for mesh in tree["meshes"]] == ["left_hand"]
