import dataclasses

import jax
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.inference import priors
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.diffusion.refine import RefineConfig
from twohand_jax.diffusion.search import SearchConfig
from twohand_jax.errors import InputError
from twohand_jax.inference import refinement
from twohand_jax.inference.prior import Prior
from twohand_jax.inference.refinement import is_needed, refiner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return priors.write_prior(tmp_path_factory.mktemp("prior"))


@pytest.fixture(scope="module")
def prior(folder):
    return Prior.load(folder)


def one(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], tree)


@pytest.mark.slow
def test_hands_in_each_other_are_separated_and_the_better_seen_one_stays(prior):
    prediction = fakes.estimate(fakes.clasped(2))
    # The prior's weights are random: where it would look for a hand means nothing.
    config = RefineConfig(search=SearchConfig(reach=0.0))
    found = refinement.refine(prior, prediction, config=config)
    assert (found.status == Status.REFINED).all()
    assert (found.depth_after < found.depth_before).all()
    kept = np.asarray(prediction.geometry.vertices)[:, 1]
    np.testing.assert_array_equal(found.reference, 1)
    np.testing.assert_array_equal(found.prediction.geometry.vertices[:, 1], kept)


def test_a_leading_shape_is_kept_and_hands_apart_come_back_bit_for_bit(prior):
    params = fakes.hands(2, 3)
    params = params._replace(transl=params.transl.at[..., 1, 0].add(0.4))
    prediction = fakes.estimate(params)
    found = refinement.refine(prior, prediction)
    assert found.status.shape == (2, 3)
    assert (found.status != Status.REFINED).all()
    for given, back in zip(
        jax.tree.leaves(prediction), jax.tree.leaves(found.prediction), strict=True
    ):
        assert np.asarray(given).tobytes() == np.asarray(back).tobytes()


def test_the_prior_is_only_asked_about_overlapping_near_hands():
    near = one(fakes.estimate(fakes.clasped(1)))
    far = near._replace(
        geometry=near.geometry._replace(
            vertices=near.geometry.vertices + np.array([[[0.0]], [[0.5]]])
        )
    )
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    single = near._replace(score=np.array([1.0, 0.0], np.float32))
    assert is_needed(near, "auto") and not is_needed(near, "never")
    assert not is_needed(far, "auto") and is_needed(far, "always")
    assert not is_needed(near._replace(box=boxes), "auto")
    assert not is_needed(single, "auto") and not is_needed(single, "always")


def test_without_a_prior_of_this_hand_auto_does_without_and_always_refuses():
    other = dataclasses.replace(fakes.hand_model(), name="another-hand")
    assert refiner("never", None, other) is None
    assert refiner("auto", None, other) is None
    with pytest.raises(InputError, match="another-hand"):
        refiner("always", None, other)


def test_another_hand_model_is_refused_with_both_names(folder):
    other = dataclasses.replace(fakes.hand_model(), name="another-hand")
    with pytest.raises(InputError, match=r"open-hand-1.*another-hand"):
        refiner("auto", folder, other)


def test_programs_of_other_settings_have_other_keys(folder):
    model = fakes.hand_model()
    keys = {refiner(c, folder, model).key for c in ("auto", "always")}
    assert len(keys) == 2 and GateConfig().when == "auto"
