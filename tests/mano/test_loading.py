"""Loading models: pickles, npz, the left-hand fix, and everything that is refused."""

import collections
import pickle
import re

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.mano import loading
from twohand_jax.types import LEFT, RIGHT

ARRAYS = ("template", "shapedirs", "posedirs", "weights", "faces", "directions")


@pytest.fixture(scope="module")
def pair():
    return fake_mano.random_fields(0), fake_mano.random_fields(1)


def same(first, second, names=ARRAYS):
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_official_and_plain_pickles_give_one_model(tmp_path, pair):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    official = mano.load(fake_mano.write_official(tmp_path / "a", *pair))
    plain = mano.load(fake_mano.write_plain(tmp_path / "b", *pair))
    same(official, plain)
    assert official.name == "mano"
    for side, fields in enumerate(pair):
        np.testing.assert_allclose(official.template[side], fields["v_template"])
        np.testing.assert_allclose(
            official.joint_template[side],
            fields["J_regressor"] @ fields["v_template"],
            atol=1e-7,
        )


def test_save_and_load_round_trip(tmp_path, pair):
    model = fake_mano.model_of(*pair)
    mano.save(model, tmp_path / "model.npz")
    again = mano.load(tmp_path / "model.npz")
    same(model, again, (*ARRAYS, "pose_mean", "pose_components", "joint_regressor"))
    assert again.name == model.name
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_npz_of_the_right_hand_alone_is_mirrored(tmp_path, pair):
    np.savez(tmp_path / "right.npz", **pair[0])
    same(mano.load(tmp_path / "right.npz"), fake_mano.random_model(0, mirrored=True))


def test_npz_of_both_hands_gets_the_left_fix(tmp_path, pair):
    right, left = pair
    left = left | {"shapedirs": right["shapedirs"]}
    fields = {f"right_{k}": v for k, v in right.items()}
    np.savez(tmp_path / "m.npz", **fields, **{f"left_{k}": v for k, v in left.items()})
    model = mano.load(tmp_path / "m.npz")
    x, yz = model.shapedirs[..., 0, :], model.shapedirs[..., 1:, :]
    np.testing.assert_array_equal(x[LEFT], -x[RIGHT])
    np.testing.assert_array_equal(yz[LEFT], yz[RIGHT])


def test_left_hand_fix_on_pickles(tmp_path, pair):
    """Applied when x has the right hand's sign, and only then."""
    right, left = pair
    wrong = left | {"shapedirs": right["shapedirs"] + 1e-9}
    model = mano.load(fake_mano.write_official(tmp_path, right, wrong))
    np.testing.assert_allclose(
        model.shapedirs[LEFT, :, 0], -right["shapedirs"][:, 0], atol=1e-7
    )
    model = mano.load(fake_mano.write_official(tmp_path, right, left))
    np.testing.assert_allclose(model.shapedirs[LEFT], left["shapedirs"])


def test_the_open_hand_is_a_whole_model():
    model = mano.load()
    assert model.name.startswith("open")
    for name, shape in (("template", (2, 778, 3)), ("faces", (2, 1538, 3))):
        assert getattr(model, name).shape == shape
    np.testing.assert_allclose(jnp.sum(model.weights, -1), 1, atol=1e-4)
    np.testing.assert_array_equal(
        model.template[LEFT], model.template[RIGHT] * jnp.array([-1.0, 1, 1])
    )


def refused(source, *parts):
    with pytest.raises(InputError) as error:
        mano.load(source)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert re.search(part, message), message


def test_the_right_hand_missing(tmp_path, pair):
    fake_mano.write_plain(tmp_path, *pair)
    (tmp_path / "MANO_RIGHT.pkl").unlink()
    refused(tmp_path, "MANO_RIGHT.pkl is missing", "licence")


@pytest.mark.parametrize("key", sorted(loading.SHAPES))
@pytest.mark.slow
def test_wrong_shapes_and_missing_fields_are_named(tmp_path, pair, key):
    right, left = pair
    fake_mano.write_plain(tmp_path, right, left | {key: left[key][..., :-1]})
    shape = re.escape(str(loading.SHAPES[key]))
    refused(tmp_path, "MANO_LEFT.pkl", f"'{key}' has shape .* expected {shape}")
    fake_mano.write_plain(tmp_path, {k: v for k, v in right.items() if k != key}, left)
    refused(tmp_path, "MANO_RIGHT.pkl", f"no field '{key}'")


@pytest.mark.parametrize(
    ("key", "damage", "message"),
    [
        ("weights", lambda a: a * np.nan, "no finite numbers"),
        ("f", lambda a: a + 1000, "outside 0..777"),
        ("kintree_table", lambda a: a[:, ::-1], "joint tree"),
        ("kintree_table", lambda a: a.astype("f8"), None),
    ],
)
def test_wrong_values(tmp_path, pair, key, damage, message):
    right, left = pair
    fake_mano.write_plain(tmp_path, right | {key: damage(right[key])}, left)
    if message is None:
        mano.load(tmp_path)
    else:
        refused(tmp_path, "MANO_RIGHT.pkl", f"'{key}'", message)


def test_other_things_are_no_models(tmp_path):
    refused(tmp_path / "none", "No hand model at", "MANO_LEFT.pkl")
    refused(tmp_path, "MANO_RIGHT.pkl is missing")
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(b"x")
    refused(tmp_path / "MANO_RIGHT.pkl", "give the folder")
    for name, content in {"a.npz": b"", "b.npz": b"PK\x03\x04junk"}.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, name, "npz")
    np.savez(tmp_path / "c.npz", v_template=np.array([None], object))
    refused(tmp_path / "c.npz", "not a readable .npz")
    np.savez(tmp_path / "d.npz", other=np.zeros(3))
    refused(tmp_path / "d.npz", "no field 'v_template'")


def test_float64_needs_only_the_flag(tmp_path, pair):
    import jax

    with jax.enable_x64(True):
        model = mano.load(fake_mano.write_plain(tmp_path, *pair), dtype=jnp.float64)
        assert model.directions.dtype == jnp.float64


def hand_like(seed: int) -> tuple:
    """Random hands whose fingers point as MANO's do: right to -x, thumbs to +z."""
    right = fake_mano.random_fields(seed)
    for joint, place in ((0, (0.09, 0, 0)), (4, (0.0, 0, 0)), (13, (0.06, 0, 0.02))):
        right["J_regressor"][joint] = 0
        right["J_regressor"][joint, joint] = 1
        right["v_template"][joint] = place
    return right, loading.mirrored(right)


@pytest.mark.parametrize("place", ["folder", "npz"])
def test_sides_that_were_copied_or_changed_places_are_refused(tmp_path, place):
    right, left = hand_like(0)
    wrong = {
        "same hand on both": (right, right),
        "other side as its": (left, right),
    }
    for message, (first, second) in {"": (right, left), **wrong}.items():
        path = tmp_path
        if place == "npz":
            path = tmp_path / "hand.npz"
            both = {f"right_{key}": value for key, value in first.items()}
            both |= {f"left_{key}": value for key, value in second.items()}
            np.savez(path, **both)
        else:
            fake_mano.write_plain(tmp_path, first, second)
        if not message:
            assert mano.load(path)
            continue
        with pytest.raises(InputError, match=message):
            mano.load(path)


def test_the_right_hand_alone_is_mirrored_and_said_so(tmp_path, capsys):
    right, left = hand_like(0)
    fake_mano.write_plain(tmp_path, right, left)
    both = mano.load(tmp_path)
    (tmp_path / "MANO_LEFT.pkl").unlink()
    same(mano.load(tmp_path), both)
    mano.load(tmp_path)
    told = capsys.readouterr().err
    assert told.count("the left hand is the mirror image of MANO_RIGHT.pkl") == 1


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(
    "form",
    ["csc_matrix", "coo_matrix", "csc_array", "csr_array", "coo_array", "matrix"],
)
def test_models_saved_again_are_read(tmp_path, pair, form, protocol):
    change = np.asmatrix if form == "matrix" else getattr(scipy.sparse, form)
    for name, fields in zip(loading.FILES.values(), pair, strict=True):
        again = collections.OrderedDict(fields)
        again["J_regressor"] = change(fields["J_regressor"])
        (tmp_path / name).write_bytes(pickle.dumps(again, protocol))
    same(mano.load(tmp_path), fake_mano.model_of(*pair), (*ARRAYS, "joint_regressor"))
