"""Overlap and occlusion from labels, against rays of an independent library."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from tests.data import scenes
from tests.programs import forward
from twohand_jax import mano
from twohand_jax.evaluation.truth import box_overlap, occlusion_share
from twohand_jax.types import LEFT, RIGHT

COUNT = 4
shares = jax.jit(occlusion_share)


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def targets(model):
    """Pairs in which the left hand comes nearer and nearer to the line of sight."""
    drawn = scenes.targets(3, (COUNT,), model)
    joints = forward(model, drawn.mano).joints[..., 9, :]
    goal = joints[:, RIGHT] * jnp.linspace(0.8, 1.2, COUNT)[:, None]
    aside = jnp.array([0.05, 0.0, 0.0]) * jnp.arange(COUNT)[::-1, None]
    shift = goal + aside - joints[:, LEFT]
    transl = drawn.mano.transl.at[:, LEFT].add(shift)
    return drawn._replace(
        mano=drawn.mano._replace(transl=transl),
        hand_valid=jnp.ones((COUNT, 2), bool),
        mano_valid=jnp.ones((COUNT, 2), bool),
    )


def by_rays(model, targets, sample: int, side: int) -> float:
    """Share of hidden joints from rays cast with trimesh."""
    truth = forward(model, jax.tree.map(lambda x: x[sample], targets.mano))
    vertices = np.asarray(truth.vertices[1 - side], float)
    mesh = trimesh.Trimesh(vertices, np.asarray(model.faces[1 - side]), process=False)
    joints = np.asarray(truth.joints[side], float)
    places, rays, _ = mesh.ray.intersects_location(np.zeros((21, 3)), joints)
    nearer = np.linalg.norm(places, axis=-1) < np.linalg.norm(joints[rays], axis=-1)
    return len(set(rays[nearer])) / 21


def test_hidden_joints_are_those_whose_rays_meet_the_other_hand(model, targets):
    found = np.asarray(shares(targets, model))
    wanted = [
        [by_rays(model, targets, sample, side) for side in (RIGHT, LEFT)]
        for sample in range(COUNT)
    ]
    assert found == pytest.approx(np.array(wanted), abs=1e-6)
    assert found.max() > 0.3 and found.min() == 0.0


def test_a_picture_without_two_fits_has_no_occlusion(model, targets):
    for flags in ("mano_valid", "hand_valid"):
        one = targets._replace(
            **{flags: getattr(targets, flags).at[0, LEFT].set(False)}
        )
        found = np.asarray(shares(one, model))
        assert np.isnan(found[0]).all() and np.isfinite(found[1:]).all()


def test_overlap_of_boxes(targets):
    box = jnp.array([[[0.0, 0, 10, 10], [5, 0, 15, 10]]] * COUNT)
    valid = jnp.ones((COUNT, 2), bool).at[2, RIGHT].set(False)
    found = box_overlap(targets._replace(box=box, hand_valid=valid))
    assert np.isnan(found[2])
    assert np.delete(found, 2) == pytest.approx(1 / 3)


def test_it_does_not_depend_on_which_hand_model_poses(model, targets):
    renamed = dataclasses.replace(model, name="MANO_RIGHT")
    first, second = (shares(targets, one) for one in (model, renamed))
    np.testing.assert_array_equal(first, second)
