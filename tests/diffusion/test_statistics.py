import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER, REFERENCE, RELATIVE
from twohand_jax.errors import InputError


def _pairs(count=500):
    rng = np.random.default_rng(0)
    pairs = rng.normal(0.5, np.linspace(0.1, 2.0, 64), (count, 2, 64))
    pairs[:, REFERENCE, RELATIVE] = [1, 0, 0, 0, 1, 0, 0, 0, 0]
    return jnp.asarray(pairs, jnp.float32)


def test_normalised_pairs_have_mean_0_and_deviation_1():
    pairs = _pairs()
    found = representation.compute_statistics(pairs, "std")
    normal = representation.normalise(pairs, found)
    pooled = normal[..., : RELATIVE.start].reshape(-1, RELATIVE.start)
    np.testing.assert_allclose(jnp.mean(pooled, axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(jnp.std(pooled, axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(
        jnp.std(normal[:, OTHER, RELATIVE], axis=0), 1, rtol=1e-3
    )


def test_variance_is_the_square_of_the_deviation():
    pairs = _pairs()
    std = representation.compute_statistics(pairs, "std").scale
    variance = representation.compute_statistics(pairs, "variance").scale
    np.testing.assert_allclose(variance, std**2, rtol=1e-3)


def test_other_hands_alone_suffice():
    pairs = _pairs()
    found = representation.compute_statistics(pairs[:, OTHER])
    np.testing.assert_allclose(found.mean, jnp.mean(pairs[:, OTHER], axis=0), rtol=1e-5)


@pytest.mark.parametrize("kind", representation.KINDS)
def test_denormalise_is_the_inverse(kind):
    pairs = _pairs()
    found = representation.compute_statistics(pairs, kind)
    back = representation.denormalise(representation.normalise(pairs, found), found)
    np.testing.assert_allclose(back, pairs, atol=1e-5)


def test_reference_placement_stays_and_hands_can_come_alone():
    pairs = _pairs()
    found = representation.compute_statistics(pairs)
    normal = representation.normalise(pairs, found)
    np.testing.assert_array_equal(
        normal[:, REFERENCE, RELATIVE], pairs[:, REFERENCE, RELATIVE]
    )
    for hand in (REFERENCE, OTHER):
        alone = representation.normalise(pairs[:, hand], found, hand=hand)
        np.testing.assert_array_equal(alone, normal[:, hand])


def test_vectors_and_statistics_of_another_size_are_refused():
    pairs = _pairs(2)
    found = representation.compute_statistics(pairs)
    short = representation.Statistics(found.mean[:61], found.scale)
    with pytest.raises(InputError, match=r"mean has shape \(61,\).*64"):
        representation.normalise(pairs, short)
    with pytest.raises(InputError, match="hand=OTHER"):
        representation.normalise(pairs[:, 0, :61], found)
    with pytest.raises(InputError, match="n > 1"):
        representation.compute_statistics(pairs[:1])
    with pytest.raises(InputError, match="'range'.*std, variance"):
        representation.compute_statistics(pairs, "range")


def _release(folder, **changes):
    for name, size in representation.RELEASED.items():
        values = changes.get(name, np.full(size, 0.25, np.float32))
        np.save(folder / f"{name}.npy", values)


def test_released_files(tmp_path):
    _release(tmp_path)
    found = representation.load_released_statistics(tmp_path)
    np.testing.assert_allclose(found.scale, np.full(64, 0.250001), rtol=1e-6)


def test_damaged_released_files_are_refused(tmp_path):
    _release(tmp_path, rel_var=np.ones(8))
    with pytest.raises(InputError, match=r"rel_var.npy .*\(8,\).*9 finite"):
        representation.load_released_statistics(tmp_path)
    (tmp_path / "rel_var.npy").write_bytes(b"none")
    with pytest.raises(InputError, match="rel_var.npy is not readable"):
        representation.load_released_statistics(tmp_path)
    (tmp_path / "rel_var.npy").unlink()
    with pytest.raises(InputError, match="rel_var.npy is not readable"):
        representation.load_released_statistics(tmp_path)
