import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.collision import shapes
from twohand_jax import collision
from twohand_jax.collision import CollisionConfig
from twohand_jax.errors import InputError

PLAIN = dataclasses.replace(collision.DEFAULT, average="none")


def _pair(distance: float, seed: int = 0):
    """Two bumpy spheres of 3 cm whose centres lie ``distance`` apart."""
    rng = np.random.default_rng(seed)
    a, faces = shapes.sphere(10, 0.03, (0, 0, 0))
    b, _ = shapes.sphere(10, 0.03, (distance, 0.003, 0.002))
    bumps = rng.normal(0, 0.0005, (2, *a.shape))
    arrays = (a + bumps[0], b + bumps[1])
    return (*(jnp.asarray(x, jnp.float32) for x in arrays), jnp.asarray(faces))


def _twin(a, b, faces, config):
    """The energy as a double-precision loop over vertices."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    na, nb = _normals(a, faces), _normals(b, faces)
    sums, counts = [], []
    for query, target, nq, nt in ((a, b, na, nb), (b, a, nb, na)):
        total, count = 0.0, 0
        for i, vertex in enumerate(query):
            offsets = target - vertex
            j = np.argmin((offsets**2).sum(-1))
            if config.half_space and offsets[j] @ nt[j] <= 0:
                continue
            if config.angle is not None and nq[i] @ nt[j] >= np.cos(config.angle):
                continue
            squared = offsets[j] ** 2
            if config.cutoff is not None and squared.sum() >= config.cutoff**2:
                continue
            count += 1
            if config.coordinatewise:
                total += np.mean(squared / (squared + config.rho**2))
            else:
                total += squared.sum() / (squared.sum() + config.rho**2)
        sums.append(total)
        counts.append(count)
    if config.average == "direction":
        return config.weight * sum(
            s / max(c, 1) for s, c in zip(sums, counts, strict=True)
        )
    divisor = max(sum(counts), 1) if config.average == "pooled" else 1
    return config.weight * sum(sums) / divisor


def _normals(vertices, faces):
    normals = np.zeros_like(vertices)
    for face in np.asarray(faces):
        p, q, r = vertices[face]
        normals[face] += np.cross(q - p, r - p)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", list(collision.PRESETS))
@pytest.mark.parametrize("distance", [0.045, 0.055])
@pytest.mark.slow
def test_agrees_with_a_double_precision_twin(name, distance):
    a, b, faces = _pair(distance)
    config = collision.preset(name)
    value = float(collision.energy(a, b, faces, faces, config=config))
    assert value > 0
    np.testing.assert_allclose(value, _twin(a, b, faces, config), rtol=1e-3)


def test_zero_when_apart(variant):
    a, b, faces = _pair(0.09)
    run = variant(jax.value_and_grad(collision.energy))
    value, gradient = run(a, b, faces, faces)
    assert float(value) == 0.0
    assert not np.any(np.asarray(gradient))


def test_paper_preset_fires_on_hands_that_do_not_touch():
    a, b, faces = _pair(0.09)
    literal = collision.preset("paper")
    assert float(collision.energy(a, b, faces, faces, config=literal)) > 0


@pytest.mark.parametrize("average", ["pooled", "direction", "none"])
def test_swapping_the_hands_changes_nothing(average, variant):
    a, b, faces = _pair(0.05)
    config = dataclasses.replace(collision.DEFAULT, average=average)
    energy = variant(collision.energy, static_argnames="config")
    one = energy(a, b, faces, faces, config=config)
    other = energy(b, a, faces, faces, config=config)
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_gradient_against_finite_differences():
    a, b, faces = _pair(0.05)

    def shifted(shift):
        return 1e3 * collision.energy(a, b + shift, faces, faces, config=PLAIN)

    check_grads(shifted, (jnp.zeros(3),), order=1, modes=["rev"], eps=1e-5, rtol=2e-2)


def test_descent_separates():
    a, b, faces = _pair(0.05)
    gradient = jax.grad(
        lambda t: collision.energy(a, b + t, faces, faces, config=PLAIN)
    )(jnp.zeros(3))
    assert float(gradient[0]) < 0  # b lies on the positive side and must go on


def test_reference_hand_gets_no_gradient():
    a, b, faces = _pair(0.05)
    config = dataclasses.replace(collision.DEFAULT, stop_gradient="a")
    ga, gb = jax.grad(collision.energy, argnums=(0, 1))(
        a, b, faces, faces, config=config
    )
    assert not np.any(np.asarray(ga))
    assert np.any(np.asarray(gb))


def test_directions_add_up():
    a, b, faces = _pair(0.05)
    values = {
        d: float(
            collision.energy(
                a, b, faces, faces, config=dataclasses.replace(PLAIN, directions=d)
            )
        )
        for d in ("a", "b", "both")
    }
    assert values["a"] > 0 and values["b"] > 0
    np.testing.assert_allclose(values["a"] + values["b"], values["both"], rtol=1e-5)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_any_leading_batch(batch):
    a, b, faces = _pair(0.05)
    single = collision.energy(a, b, faces, faces)
    many = collision.energy(
        jnp.broadcast_to(a, (*batch, *a.shape)),
        jnp.broadcast_to(b, (*batch, *b.shape)),
        faces,
        faces,
    )
    assert many.shape == batch
    np.testing.assert_allclose(many, np.broadcast_to(single, batch), rtol=1e-6)


def test_given_contacts_give_the_same_energy():
    a, b, faces = _pair(0.05)
    contacts = collision.find_contacts(a, b, faces, faces)
    again = collision.energy(a, b, faces, faces, contacts=contacts)
    np.testing.assert_allclose(again, collision.energy(a, b, faces, faces), rtol=1e-6)


def test_largest_depth_of_two_spheres():
    a, b, faces = _pair(0.05)
    contacts = collision.find_contacts(a, b, faces, faces)
    assert 0.008 < float(collision.largest_depth(contacts)) < 0.012  # 60 - 50 mm


@pytest.mark.parametrize("bad", [jnp.inf, 1e30, 0.0])
def test_extreme_input_has_finite_gradient(bad):
    a, b, faces = _pair(0.05)
    b = jnp.full_like(b, bad)
    gradient = jax.grad(collision.energy)(a, b, faces, faces)
    assert np.all(np.isfinite(gradient))


def test_unknown_preset_is_refused():
    with pytest.raises(InputError, match="interhandgen"):
        collision.preset("strict")


def test_squared_depths_sum_what_the_contacts_say():
    a, b, faces = _pair(0.055)
    found = collision.find_contacts(a, b, faces, faces)
    wanted = np.sum(np.asarray(found.depth_a)[found.collides_a] ** 2)
    wanted += np.sum(np.asarray(found.depth_b)[found.collides_b] ** 2)
    depths = collision.squared_depths(a, b, faces, faces)
    assert wanted > 1e-6
    np.testing.assert_allclose(depths, wanted, rtol=1e-5)
    assert collision.squared_depths(a, b + 0.1, faces, faces) == 0


def test_squared_depths_push_the_free_hand_out():
    a, b, faces = _pair(0.055)
    config = CollisionConfig(stop_gradient="a")

    def depths(a, b):
        return collision.squared_depths(a, b, faces, faces, config=config)

    held, free = jax.grad(depths, argnums=(0, 1))(a, b)
    assert not np.any(held)
    way = -np.sum(np.asarray(free), axis=0)
    assert way[0] > 5 * np.abs(way[1:]).max()  # b lies on the positive x axis of a
