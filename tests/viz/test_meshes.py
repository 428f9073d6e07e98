"""Mesh files as an independent reader (trimesh) sees them."""

from pathlib import Path

import numpy as np
import trimesh

from twohand_jax.types import NUM_VERTICES, ManoModel
from twohand_jax.viz import meshes as files
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import HAND_COLORS, Mesh

BOTH = np.array([True, True])


def test_obj_keeps_vertices_faces_and_frame(
    tmp_path: Path, model: ManoModel, vertices: np.ndarray
) -> None:
    files.write_obj(tmp_path / "a.obj", vertices[0], np.asarray(model.faces[0]))
    read = trimesh.load(tmp_path / "a.obj", process=False)
    np.testing.assert_allclose(read.vertices, vertices[0], atol=1e-6)
    np.testing.assert_array_equal(read.faces, model.faces[0])
    assert len(read.vertices) == NUM_VERTICES
    assert "y down" in (tmp_path / "a.obj").read_text().splitlines()[0]


def test_glb_holds_both_hands_y_up_and_coloured(
    tmp_path: Path, model: ManoModel, vertices: np.ndarray
) -> None:
    hands = hand_meshes(model, vertices, BOTH)
    files.write_glb(tmp_path / "a.glb", hands, ["right_hand", "left_hand"])
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    assert set(scene.geometry) == {"right_hand", "left_hand"}
    for name, hand, color in zip(
        ("right_hand", "left_hand"), hands, HAND_COLORS, strict=True
    ):
        read = scene.geometry[name]
        expected = hand.vertices * [1, -1, -1]
        np.testing.assert_allclose(read.vertices, expected, atol=1e-6)
        assert len(expected) > NUM_VERTICES  # the wrist's cap comes after MANO's
        np.testing.assert_array_equal(read.faces, hand.faces)
        assert read.visual.material.name == name
        assert scene.graph[name][1] == name
        factor = np.asarray(read.visual.material.baseColorFactor, float)
        np.testing.assert_allclose(factor[:3] / 255, np.array(color) ** 2.2, atol=0.01)
        assert read.volume > 1e-4  # outward faces, some 300 cm³


def test_vertices_in_one_place_are_not_merged(tmp_path: Path) -> None:
    points = np.array([[0.0, 0, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [5, 5, 5]])
    faces = np.array([[3, 1, 2]])
    files.write_obj(tmp_path / "a.obj", points, faces)
    files.write_glb(tmp_path / "a.glb", [Mesh(points, faces, (1, 0, 0))], ["a"])
    lines = (tmp_path / "a.obj").read_text().splitlines()
    read = np.array([line.split()[1:] for line in lines if line[:2] == "v "], float)
    np.testing.assert_array_equal(read, points)
    assert lines[-1] == "f 4 2 3"
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    turned = scene.geometry["a"].vertices * files.GLTF_FROM_CAMERA
    np.testing.assert_array_equal(turned, points)


def test_glb_is_a_well_formed_container(model: ManoModel, vertices: np.ndarray) -> None:
    content = files.glb(hand_meshes(model, vertices, BOTH), ["a", "b"])
    assert content[:4] == b"glTF"
    assert int.from_bytes(content[8:12], "little") == len(content)
    assert len(content) % 4 == 0
