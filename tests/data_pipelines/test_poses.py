import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twohand_jax import collision, mano
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.mano.topology import close_wrist
from twohand_jax.pipelines.synthetic.poses import (
    angles,
    contact,
    draw,
    library,
    pca,
    placement,
    sampler,
    view,
)
from twohand_jax.pipelines.synthetic.poses.pair import Pair, mirrored, pose, to_params
from twohand_jax.types import LEFT, RIGHT

pytestmark = pytest.mark.slow

SIZE = (192, 256)
POSE = jax.jit(pose)
FORWARD = jax.jit(mano.forward)
CLAMP = jax.jit(angles.clamp_angles)
DEPTHS = jax.jit(contact.depths)


@jax.jit
def gaps(vertices):
    """How far each vertex of the right hand is from the left hand's nearest one."""
    index, _ = collision.nearest(vertices[:, RIGHT], vertices[:, LEFT])
    offset = collision.gather(vertices[:, LEFT], index) - vertices[:, RIGHT]
    return jnp.linalg.norm(offset, axis=-1)


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def kit(model):
    return sampler.tools(model)


@pytest.fixture(scope="module")
def batch(model):
    return sampler.sample(7, 64, model=model)


def _pair(count: int, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    config = draw.DrawConfig()
    orient = Rotation.random(2 * count, random_state=rng).as_matrix()
    values = draw.blends(rng, 2 * count, config=config)
    return Pair(
        angles=CLAMP(jnp.asarray(values, jnp.float32)).reshape(count, 2, 21),
        wobble=jnp.asarray(rng.normal(0, 0.03, (count, 2, 15, 3)), jnp.float32),
        betas=jnp.asarray(draw.shapes(rng, count, config=config), jnp.float32),
        orient=jnp.asarray(orient.reshape(count, 2, 3, 3), jnp.float32),
        wrist=jnp.asarray(rng.normal(0, 0.2, (count, 2, 3)), jnp.float32),
    )


def test_parameters_pose_the_same_hands(model, kit):
    pair = _pair(4)
    params = jax.jit(to_params)(model, kit.bones, pair)
    expected = POSE(model, kit.bones, pair)
    found = FORWARD(model, params)
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-5)
    np.testing.assert_allclose(found.joints[..., 0, :], pair.wrist, atol=1e-5)


def test_mirrored_pair_is_the_mirror_image(model, kit):
    pair = _pair(4, seed=1)
    image = POSE(model, kit.bones, mirrored(pair)).vertices
    expected = POSE(model, kit.bones, pair).vertices[:, ::-1] * np.array([-1, 1, 1])
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_settling_opens_what_runs_into_itself(kit):
    pair = jax.tree.map(np.array, _pair(1)._replace(wobble=jnp.zeros((1, 2, 15, 3))))
    through = library.named("fist").copy()
    through[angles.NAMES.index("thumb_ip_flexion")] = np.deg2rad(80)
    pair.angles[:, RIGHT], pair.angles[:, LEFT] = through, library.named("flat")
    shown = np.ones((1, 2), bool)
    _, before = sampler.settle(kit, pair, shown, steps=0)
    settled, after = sampler.settle(kit, pair, shown, steps=12)
    assert before[0] > 0.003 > after[0]
    np.testing.assert_array_equal(settled.angles[:, LEFT], pair.angles[:, LEFT])


def _join(kit, name: str, gap: float, count: int = 16):
    rng = np.random.default_rng(3)
    made = [
        placement.from_template(rng, library.TOUCHING[name], gap=gap)
        for _ in range(count)
    ]
    values, places = jax.tree.map(
        lambda *x: np.stack(x).astype(np.float32 if x[0].dtype == float else bool),
        *made,
    )
    pair = _pair(count)._replace(
        angles=np.asarray(CLAMP(values)),
        wobble=np.zeros((count, 2, 15, 3), np.float32),
    )
    return sampler.join(kit, jax.tree.map(np.asarray, pair), places)


def test_hands_stop_where_they_would_touch(model, kit):
    pair = _join(kit, "prayer", gap=0.01)
    vertices = POSE(model, kit.bones, pair).vertices
    distance = np.min(gaps(vertices), axis=-1)
    assert np.all((distance > 0.005) & (distance < 0.013))
    # A prayer: palms face each other, fingers point the same way.
    palms = np.einsum("ij,nhkj->nhki", np.eye(3), pair.orient)
    right = palms[:, RIGHT] @ np.asarray(kit.bones.palm)[1]
    left = palms[:, LEFT] @ (np.asarray(kit.bones.palm)[1] * [-1, 1, 1])
    assert np.all(np.sum(right * left, axis=-1) < -0.7)


def test_separation_moves_only_what_collides(model, kit):
    pressed = _join(kit, "prayer", gap=-0.01)
    apart = _join(kit, "prayer", gap=0.02)
    pair = jax.tree.map(lambda x, y: np.concatenate([x[:8], y[:8]]), pressed, apart)
    before = DEPTHS(model, kit.bones, pair)
    after, good = sampler.separate(
        kit, pair, np.arange(16), depth=0.002, rounds=5, steps=5
    )
    assert np.all(before[:8] > 0.002) and np.all(before[8:] == 0)
    assert good.mean() > 0.8
    for old, new in zip(pair, after, strict=True):
        np.testing.assert_array_equal(old[8:], new[8:])


def test_forearms_need_room():
    joints = np.zeros((2, 2, 21, 3))
    joints[:, :, 9, 0] = 0.1  # both point along x
    joints[0, LEFT, :, 1] = 0.02  # side by side, 2 cm apart
    joints[1, LEFT, :, 1] = 0.2
    np.testing.assert_array_equal(sampler.arms_clear(joints), [False, True])
    np.testing.assert_array_equal(sampler.within_reach(joints), [True, False])


def test_sampled_shapes_and_flags(batch):
    assert batch.params.hand_pose.shape == (64, 2, 15, 3)
    assert batch.kind.shape == (64,) and batch.present.shape == (64, 2)
    single = batch.kind < 2
    assert np.all(batch.present[~single])
    assert np.all(batch.present[batch.kind == 0] == [True, False])
    assert all(np.isfinite(x).all() for x in batch.params)
    assert np.abs(batch.params.betas).max() <= 2.5
    difference = batch.params.betas[:, RIGHT] - batch.params.betas[:, LEFT]
    assert difference.std() < 0.3 < batch.params.betas.std()


def test_the_same_seed_gives_the_same_hands(model, batch):
    again = sampler.sample(7, 64, model=model)
    jax.tree.map(np.testing.assert_array_equal, batch, again)


def test_another_seed_gives_other_hands(model):
    alone = sampler.SamplerConfig(weights={"right": 1.0})
    first, other = (
        sampler.sample(seed, 8, model=model, config=alone) for seed in (7, 8)
    )
    assert np.any(other.params.hand_pose != first.params.hand_pose)


def test_sampled_hands_hardly_penetrate(model, batch):
    both = batch.kind >= 2
    params = jax.tree.map(lambda x: jnp.asarray(x[both]), batch.params)
    vertices = np.asarray(FORWARD(model, params).vertices)
    faces = [close_wrist(np.asarray(f)) for f in model.faces]
    found = collision.measure(vertices[:, RIGHT], vertices[:, LEFT], *faces)
    assert found.max_depth_mm.max() < 4
    assert np.median(found.max_depth_mm) < 1
    assert found.volume_cm3.max() < 1.5


def test_touching_hands_touch_and_apart_ones_do_not(model, batch):
    vertices = np.asarray(
        FORWARD(model, jax.tree.map(jnp.asarray, batch.params)).vertices
    )
    distance = np.min(gaps(vertices), axis=-1)
    kinds = {name: batch.kind == k for k, name in enumerate(sampler.KINDS)}
    assert np.median(distance[kinds["touching"]]) < 0.006
    assert np.median(distance[kinds["clasped"]]) < 0.004
    assert np.median(distance[kinds["apart"]]) > 0.03


@pytest.mark.parametrize("weights", [{"crossed": 1.0}, {"near": -1.0}, {}])
def test_bad_weights_are_refused(weights, model):
    with pytest.raises(InputError, match="clasped"):
        sampler.sample(0, 4, model=model, config=sampler.SamplerConfig(weights=weights))


def test_views_show_the_hands(model, batch):
    params, camera = view.place(1, batch, SIZE, model=model)
    vertices = FORWARD(model, jax.tree.map(jnp.asarray, params)).vertices
    flat = jnp.asarray(vertices).reshape(64, -1, 3)
    pixels = np.asarray(
        jax.jit(cameras.project)(flat, jax.tree.map(jnp.asarray, camera))
    )
    shown = np.repeat(batch.present, 778, axis=1)
    depth = np.where(shown, np.asarray(flat)[..., 2], np.nan)
    assert np.nanmin(depth) > 0.15
    pixels = np.where(shown[..., None], pixels, np.nan)
    low, high = np.nanmin(pixels, axis=1), np.nanmax(pixels, axis=1)
    outside = ((low < -0.5) | (high > np.array(SIZE[::-1]) - 0.5)).any(-1)
    assert outside.mean() < 0.2
    fill = (high - low).max(-1) / min(SIZE)
    assert np.all((fill > 0.2) & (fill < 0.85))


def test_views_move_the_hands_rigidly(model, batch):
    params, _ = view.place(1, batch, SIZE, model=model)
    world, seen = (
        np.asarray(FORWARD(model, jax.tree.map(jnp.asarray, p)).joints)
        for p in (batch.params, params)
    )

    def lengths(joints):
        points = joints.reshape(64, 42, 3)
        return np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)

    np.testing.assert_allclose(lengths(seen), lengths(world), atol=2e-5)
    assert np.all(params.betas == batch.params.betas)


def test_views_follow_their_seed(model, batch):
    first = view.place(1, batch, SIZE, model=model)
    again = view.place(1, batch, SIZE, model=model)
    other = view.place(2, batch, SIZE, model=model)
    np.testing.assert_array_equal(first[0].transl, again[0].transl)
    assert np.any(first[0].transl != other[0].transl)


def test_pose_space_of_sampled_poses(model, tmp_path):
    path = tmp_path / "hand.npz"
    path.write_bytes(mano.loading.OPEN_HAND.read_bytes())
    pca.main(["--path", str(path), "--count", "512", "--seed", "3"])
    poses = pca.absolute_poses(model, 512, seed=3)
    with np.load(path) as file:
        mean, rows = file["hands_mean"], file["hands_components"]
    np.testing.assert_allclose(mean, poses.mean(0), atol=1e-4)
    np.testing.assert_allclose(rows @ rows.T, np.eye(45), atol=1e-5)
    spread = ((poses - mean) @ rows.T).std(0)
    assert np.all(np.diff(spread) < 1e-5)
