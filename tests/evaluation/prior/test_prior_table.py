import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.priors import (
    FEW,
    QUICK,
    random_pairs,
    write_features,
    write_prior,
)
from tests.programs import forward
from twohand_jax import mano
from twohand_jax.diffusion import representation
from twohand_jax.errors import InputError
from twohand_jax.evaluation.prior import prior_table
from twohand_jax.evaluation.prior.plausibility import TrainedPairEncoder
from twohand_jax.inference.prior import Prior
from twohand_jax.types import LEFT, RIGHT

SMALL = prior_table.TableConfig(pairs=12, **QUICK)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return TrainedPairEncoder.load(write_features(tmp_path_factory.mktemp("features")))


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return Prior.load(write_prior(tmp_path_factory.mktemp("prior")))


def packed(model, params):
    return representation.pack(model, params, jnp.arange(len(params.transl)) % 2)


def test_features_of_a_pair_do_not_depend_on_its_company(encoder):
    params = random_pairs(5)
    features = encoder(params)
    assert features.dtype == np.float64
    two = jax.tree.map(lambda leaf: leaf[2:4], params)
    np.testing.assert_allclose(encoder(two), features[2:4], atol=1e-5)


def test_features_do_not_depend_on_where_the_camera_is(encoder):
    params = random_pairs(4)
    moved = params._replace(transl=params.transl + np.array([0.3, -0.1, 0.5]))
    np.testing.assert_allclose(encoder(moved), encoder(params), atol=1e-4)


def test_a_mirrored_pair_with_the_other_reference_has_the_same_features(encoder):
    params = random_pairs(1)
    both = jax.tree.map(
        lambda a, b: np.concatenate([a, b]), params, mano.mirror(params)
    )
    features = encoder(both)  # the first pair's reference is right, the second's left
    np.testing.assert_allclose(features[0], features[1], atol=1e-5)


@pytest.mark.slow
def test_mixed_pairs_keep_each_hand_but_not_the_pairs():
    model, params = mano.load(), random_pairs(6)
    before = packed(model, params)
    after = packed(model, prior_table.mixed(model, params))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-4)
    np.testing.assert_allclose(after[:, 1], before[[2, 3, 4, 5, 0, 1], 1], atol=1e-4)


def test_samples_come_in_batches_and_are_cut_to_the_count(prior):
    key = jax.random.key(4)
    found = prior_table.draw(prior, key, 11, FEW, batch=8)
    first = prior.sample(jax.random.fold_in(key, 0), 8, config=FEW)
    assert found.transl.shape == (11, 2, 3)
    np.testing.assert_array_equal(found.transl[:8], first.transl)
    tail = np.asarray(found.betas[8:])
    for a, b in itertools.product(np.asarray(first.betas), tail):
        assert (a != b).any(), "a batch repeats another"


@pytest.mark.slow
def test_contact_figures_of_hands_apart_and_in_one_place():
    model, rest = mano.load(), mano.zeros(2)
    apart = rest._replace(transl=rest.transl.at[:, RIGHT, 0].set(1.0))
    assert prior_table.contact_figures(model, apart) == (0.0, 0.0, 0.0, 0.0)
    joints = forward(model, rest).joints[0, :, 9]
    onto = joints[LEFT] - joints[RIGHT]
    half = apart._replace(transl=apart.transl.at[0, RIGHT].set(onto))
    volume, depth, penetrating, contact = prior_table.contact_figures(model, half)
    assert volume > 1.0 and depth > 1.0 and contact > 0.0
    assert penetrating == 50.0


@pytest.mark.slow
def test_the_table_has_all_rows_and_figures(prior, encoder):
    rows = dict(
        prior_table.table(
            prior, encoder, random_pairs(30), jax.random.key(0), config=SMALL
        )
    )
    assert list(rows) == [
        prior_table.DATA,
        prior_table.GIVEN,
        prior_table.PRIOR,
        prior_table.GUIDED,
        prior_table.MIXED,
    ]
    for row in rows.values():
        assert tuple(row) == prior_table.COLUMNS
        assert np.isfinite(list(row.values())).all()
    # With the same walk, guided samples are the free ones.
    assert rows[prior_table.GUIDED] == rows[prior_table.PRIOR]


def test_too_few_pairs_are_refused(prior, encoder):
    rows = prior_table.table(prior, encoder, random_pairs(5), jax.random.key(0))
    with pytest.raises(InputError, match="hold 5 pairs"):
        next(rows)


def test_features_of_another_hand_model_are_refused(tmp_path):
    source = write_features(tmp_path / "features", hand="mano-1.2")
    with pytest.raises(InputError, match="'mano-1.2'.*'open-hand-1'"):
        TrainedPairEncoder.load(source)
