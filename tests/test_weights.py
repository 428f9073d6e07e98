import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.weights import native


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    return Variables(
        {"a": {"kernel": kernel, "bias": kernel[0]}}, {"a": {"mean": kernel}}
    )


def shapes(variables):
    return jax.eval_shape(lambda: variables)


def test_what_is_saved_is_loaded(tmp_path, variables):
    native.save(tmp_path, variables, {"model": {"width": 3}})
    loaded = native.load(tmp_path, shapes(variables))
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, variables))
    assert native.load_config(tmp_path) == {"model": {"width": 3}}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "weights.npz"]


def test_half_precision_halves_weights_and_keeps_statistics(tmp_path, variables):
    native.save(tmp_path, variables, {}, dtype="float16")
    with np.load(tmp_path / "weights.npz") as file:
        assert file["params/a/kernel"].dtype == np.float16
        assert file["batch_stats/a/mean"].dtype == np.float32
    loaded = native.load(tmp_path, shapes(variables))
    kernel = loaded.params["a"]["kernel"]
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel, variables.params["a"]["kernel"], rtol=1e-3)


def broken(change):
    """A saved file with one change to its arrays."""

    def write(tmp_path, variables):
        native.save(tmp_path, variables, {})
        with np.load(tmp_path / "weights.npz") as file:
            arrays = dict(file)
        change(arrays)
        np.savez(tmp_path / "weights.npz", **arrays)

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (broken(lambda a: a.pop("params/a/bias")), "no weight 'params/a/bias'"),
        (broken(lambda a: a.update(extra=np.zeros(2))), "first 'extra'"),
        (
            broken(lambda a: a.update({"params/a/bias": np.zeros(5)})),
            r"float64 \(5,\), the config's network expects float \(4,\)",
        ),
        (
            broken(lambda a: a.update({"params/a/bias": np.zeros(4, int)})),
            "expects float",
        ),
        (
            lambda path, _: (path / "weights.npz").write_bytes(b"not a zip"),
            "not a readable .npz archive",
        ),
        (
            lambda path, _: np.savez(
                path / "weights.npz", x=np.array([print], dtype=object)
            ),
            "not a readable .npz archive",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, variables, write, message):
    write(tmp_path, variables)
    with pytest.raises(InputError, match=message):
        native.load(tmp_path, shapes(variables))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a model directory"),
        ("{", "as JSON"),
        ("[1]", "must hold a JSON object"),
    ],
)
def test_a_directory_without_a_config_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=message):
        native.load_config(tmp_path)


def test_the_config_is_plain_json(tmp_path, variables):
    native.save(tmp_path, variables, {"b": (1, 2), "a": None})
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "a": None,
        "b": [1, 2],
    }
