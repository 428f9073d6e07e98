"""The embedded open hand: counts, topology, weights, regressor, order, size."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import twohand_jax
from twohand_jax import files
from twohand_jax.errors import InputError
from twohand_jax.pipelines.open_hand import build, decimate, rig
from twohand_jax.pipelines.open_hand.build import TIP_INDICES, measure_hand

ASSETS = Path(twohand_jax.__file__).parent / "mano" / "assets"
SHAPES = {
    "v_template": (778, 3),
    "f": (1538, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "hands_components": (45, 45),
    "hands_mean": (45,),
    "f_uv": (1538, 3),
}


@pytest.fixture(scope="module")
def hand() -> dict[str, np.ndarray]:
    with np.load(ASSETS / "open_hand.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def template(hand) -> np.ndarray:
    return hand["v_template"].astype(float)


@pytest.fixture(scope="module")
def joints(hand, template) -> np.ndarray:
    return hand["J_regressor"].astype(float) @ template


def _sampled(hand, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Betas from N(0, 1) and the vertices they give."""
    betas = np.random.default_rng(seed).normal(size=(count, 10))
    moved = np.einsum("vck,nk->nvc", hand["shapedirs"].astype(float), betas)
    return betas, hand["v_template"] + moved


def test_arrays_have_mano_layout(hand):
    assert {name: hand[name].shape for name in SHAPES} == SHAPES
    assert str(hand["name"]) == "open-hand-1"
    for name, value in hand.items():
        assert value.dtype.kind in "fiU", name
        assert value.dtype.kind == "U" or np.isfinite(value).all(), name


def test_assets_stay_small():
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) <= 1_000_000


def test_tree_is_manos(hand):
    parents = hand["kintree_table"][0].astype(int)
    assert parents.tolist() == [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]


def test_mesh_is_a_consistently_wound_disc(hand):
    faces = hand["f"]
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)
    edges = Counter(map(tuple, np.sort(directed, axis=1).tolist()))
    assert set(edges.values()) == {1, 2}
    assert len(np.unique(faces)) == 778
    assert 778 - len(edges) + len(faces) == 1
    assert len(decimate.boundary_loop(faces)) == 16


def test_winding_points_outward(hand, template):
    loop = decimate.boundary_loop(hand["f"])
    centred = template - template[loop].mean(0)  # so the flat cap adds no volume
    volume = np.linalg.det(centred[hand["f"]]).sum() / 6
    assert 200e-6 < volume < 500e-6


def test_no_sliver_triangles(hand, template):
    _, quality = decimate.triangle_quality(template[hand["f"]])
    assert quality.min() > 0.4


def test_rest_pose_does_not_intersect_itself(hand, template):
    assert _count_crossings(template, hand["f"]) == 0


def _count_crossings(vertices: np.ndarray, faces: np.ndarray) -> int:
    """Edges that pass through a triangle they share no vertex with."""
    edges = np.unique(
        np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])),
        axis=0,
    )
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    count = 0
    for start, end in edges:
        origin, ray = vertices[start], vertices[end] - vertices[start]
        cross = np.cross(ray, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / np.sum((b - a) * cross, -1)
            u = np.sum((origin - a) * cross, -1) * inverse
            other = np.cross(origin - a, b - a)
            v = other @ ray * inverse
            t = np.sum((c - a) * other, -1) * inverse
            hit = (u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)
        touches = (faces == start).any(-1) | (faces == end).any(-1)
        count += int(np.sum(hit & ~touches))
    return count


def test_crossing_count_finds_a_crossing():
    vertices = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, -1], [0.2, 0.2, 1], [3, 3, 0]]
    )
    assert _count_crossings(vertices, np.array([[0, 1, 2], [3, 4, 5]])) == 2


def test_weights_are_few_and_sum_to_one(hand):
    weights = hand["weights"]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (weights > 0).sum(-1).max() <= 4
    assert (weights.max(0) > 0.75).all()


def test_weights_are_smooth(hand):
    faces, weights = hand["f"], hand["weights"]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        step = np.abs(weights[faces[:, i]] - weights[faces[:, j]]).max()
        assert step < 0.9


def test_regressor_is_sparse_and_convex(hand):
    regressor = hand["J_regressor"]
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(-1), 1, atol=1e-5)
    assert (regressor > 0).sum(-1).max() <= 32


def test_regressor_follows_the_rig_over_the_shape_space(hand):
    betas, vertices = _sampled(hand, 200, seed=0)
    moved = np.einsum("jck,nk->njc", hand["rest_joint_components"], betas)
    expected = hand["rest_joints"] + moved
    regressed = np.einsum("jv,nvc->njc", hand["J_regressor"].astype(float), vertices)
    error = np.linalg.norm(regressed - expected, axis=-1)
    assert error.max() < 0.5e-3


def test_frame_is_manos(hand, template, joints):
    assert 0.08 < joints[0, 0] < 0.10
    middle, index, pinky, thumb = joints[[6, 1, 7, 15]]
    assert middle[0] < -0.06 and abs(middle[2]) < 0.01
    assert thumb[2] > index[2] > 0 > pinky[2]
    assert np.abs(template.mean(0)).max() < 0.03


def test_fingers_are_straight(joints):
    for name, direction in rig.rest_directions().items():
        first = rig.FINGERS[name]
        bones = np.diff(joints[first : first + 3], axis=0)
        cosine = bones @ direction / np.linalg.norm(bones, axis=-1)
        assert np.degrees(np.arccos(cosine)).max() < 8, name


def test_flexion_bends_towards_the_palm():
    axes = rig.flexion_axes()
    for name, direction in rig.rest_directions().items():
        moved = np.cross(axes[rig.FINGERS[name] - 1], direction)
        assert moved[1] < -0.5, name


@pytest.mark.parametrize("name", list(TIP_INDICES))
def test_tip_is_the_extremal_vertex_of_its_finger(hand, template, name):
    first = rig.FINGERS[name]
    own = np.flatnonzero(hand["weights"].argmax(-1) == first + 2)
    reach = template @ rig.rest_directions()[name]
    assert own[reach[own].argmax()] == TIP_INDICES[name][0]


@pytest.mark.parametrize("name", list(TIP_INDICES))
def test_other_tip_indices_lie_beside_the_tip(hand, template, name):
    tip, *others = TIP_INDICES[name]
    apart = np.linalg.norm(template[others] - template[tip], axis=-1)
    assert apart.max() < 0.006
    assert (hand["weights"][others].argmax(-1) == rig.FINGERS[name] + 2).all()


def test_sizes_are_those_of_adults(hand, template, joints):
    sizes = measure_hand(template, hand["f"], hand["weights"], joints)
    assert 180 < sizes["hand length"] < 192
    assert 78 < sizes["hand breadth"] < 90
    assert 180 < sizes["hand circumference"] < 210
    assert 150 < sizes["wrist circumference"] < 175
    assert 42 < sizes["middle 1"] < 47 and 24 < sizes["middle 2"] < 29


def test_shape_space_spans_adults_only(hand):
    _, shapes = _sampled(hand, 200, seed=1)
    length = rig.WRIST_POSITION[0] - shapes[..., 0].min(-1)
    assert 0.008 < length.std() < 0.016
    assert length.min() > 0.140 and length.max() < 0.230


def test_components_fall_in_size(hand):
    sizes = np.sqrt(np.sum(hand["shapedirs"].astype(float) ** 2, axis=(0, 1)))
    assert (np.diff(sizes) <= 0).all()
    larger = hand["v_template"] + hand["shapedirs"][..., 0]
    assert larger[:, 0].min() < hand["v_template"][:, 0].min()


def test_texture_coordinates_cover_every_face(hand):
    uv, faces = hand["uv"], hand["f_uv"]
    assert uv.min() >= 0 and uv.max() <= 1
    assert len(np.unique(faces)) == len(uv)
    corners = uv[faces]
    sides = corners[:, 1:] - corners[:, :1]
    area = 0.5 * np.abs(np.linalg.det(sides))
    assert np.mean(area > 1e-7) > 0.99


def test_pose_space_can_be_rewritten(hand, tmp_path):
    path = tmp_path / "hand.npz"
    files.write_npz(path, hand)
    poses = np.random.default_rng(0).normal(scale=0.3, size=(60, 45))
    build.set_pose_space(path, poses)
    with np.load(path) as file:
        components, mean = file["hands_components"], file["hands_mean"]
        np.testing.assert_array_equal(file["v_template"], hand["v_template"])
    np.testing.assert_allclose(mean, poses.mean(0), atol=1e-6)
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-5)
    spread = ((poses - mean) @ components.T).std(0)
    assert (np.diff(spread) < 1e-6).all()


def test_pose_space_refuses_other_shapes(tmp_path):
    with pytest.raises(InputError, match=r"\(3, 45\)"):
        build.set_pose_space(tmp_path / "hand.npz", np.zeros((3, 45)))
