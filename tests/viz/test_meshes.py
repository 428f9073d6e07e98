"""Mesh files as an independent reader (trimesh) sees them."""

from pathlib import Path

import numpy as np
import trimesh

from twohand_jax.types import ManoModel
from twohand_jax.viz import meshes as files
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import HAND_COLORS

BOTH = np.array([True, True])


def test_obj_keeps_vertices_faces_and_frame(
    tmp_path: Path, model: ManoModel, vertices: np.ndarray
) -> None:
    files.write_obj(tmp_path / "a.obj", vertices[0], np.asarray(model.faces[0]))
    read = trimesh.load(tmp_path / "a.obj", process=False)
    np.testing.assert_allclose(read.vertices, vertices[0], atol=1e-6)
    np.testing.assert_array_equal(read.faces, model.faces[0])
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
        np.testing.assert_array_equal(read.faces, hand.faces)
        factor = np.asarray(read.visual.material.baseColorFactor, float)
        np.testing.assert_allclose(factor[:3] / 255, np.array(color) ** 2.2, atol=0.01)
        assert read.volume > 1e-4  # outward faces, some 300 cm³


def test_glb_is_a_well_formed_container(model: ManoModel, vertices: np.ndarray) -> None:
    content = files.glb(hand_meshes(model, vertices, BOTH), ["a", "b"])
    assert content[:4] == b"glTF"
    assert int.from_bytes(content[8:12], "little") == len(content)
    assert len(content) % 4 == 0
