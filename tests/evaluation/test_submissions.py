import json

import numpy as np
import pytest

from tests.evaluation import twins
from tests.mano import fake_mano
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.errors import InputError
from twohand_jax.evaluation import methods, submissions
from twohand_jax.evaluation.protocols import single_hand
from twohand_jax.evaluation.submissions import Estimates
from twohand_jax.mano.joints import JOINT_NAMES, MODEL_JOINT_NAMES
from twohand_jax.types import RIGHT, Batch, HandGeometry, Prediction


@pytest.fixture
def estimates():
    rng = np.random.default_rng(0)
    names = tuple(f"evaluation/{number:08d}" for number in (2, 0, 1))
    joints, vertices = rng.normal(size=(3, 21, 3)), rng.normal(size=(3, 778, 3))
    return Estimates(names, joints.astype("f4"), vertices.astype("f4"))


def test_freihand_file_holds_joints_then_vertices_by_number(tmp_path, estimates):
    path = tmp_path / "new" / "pred.json"
    order = single_hand.freihand_order(estimates.image_ids)
    submissions.write(path, estimates, order, benchmark="freihand")
    joints, vertices = json.loads(path.read_text())
    rows = [1, 2, 0]
    np.testing.assert_allclose(joints, estimates.joints[rows], atol=6e-7)
    np.testing.assert_allclose(vertices, estimates.vertices[rows], atol=6e-7)
    assert [file.name for file in path.parent.iterdir()] == ["pred.json"]


def test_ho3d_file_is_in_opengl_axes_and_the_models_joint_order(tmp_path, estimates):
    listing = tmp_path / "evaluation.txt"
    listing.write_text("SM1/0003\nAP10/0000\n")
    named = estimates._replace(
        image_ids=("evaluation/AP10/0000", "evaluation/x", "evaluation/SM1/0003")
    )
    order = single_hand.ho3d_order((), listing)
    submissions.write(tmp_path / "pred.json", named, order, benchmark="ho3d")
    joints, vertices = map(np.array, json.loads((tmp_path / "pred.json").read_text()))
    flip = np.array([1, -1, -1])
    tips = [f"{finger}_4" for finger in ("thumb", "index", "middle", "ring", "pinky")]
    for place, name in enumerate((*MODEL_JOINT_NAMES, *tips)):
        own = estimates.joints[[2, 0], JOINT_NAMES.index(name)]
        np.testing.assert_allclose(joints[:, place], own * flip, atol=6e-7)
    np.testing.assert_allclose(vertices, estimates.vertices[[2, 0]] * flip, atol=6e-7)


def test_the_freihand_server_gets_joints_that_are_regressed_from_the_mesh(
    monkeypatch,
):
    """As its annotations are; the network's posed joints are others."""
    model = fake_mano.random_model()
    rng = np.random.default_rng(0)
    vertices, posed = rng.normal(size=(2, 2, 778, 3)), rng.normal(size=(2, 2, 21, 3))
    geometry = HandGeometry(vertices.astype("f4"), posed.astype("f4"))
    given = Prediction(None, geometry, None, None, None, np.ones((2, 2)))
    monkeypatch.setattr(
        methods, "estimator", lambda network, *, crop: lambda *args: args[1].canvas
    )
    batch = Batch(given, None, None, None, np.ones(2), np.arange(2))
    found = submissions.estimate(
        *(None, None, [batch], {0: "a", 1: "b"}, model),
        crop=CropConfig(),
        benchmark="freihand",
    )
    regressor = np.asarray(model.joint_regressor[RIGHT], float)
    for row in range(2):
        expected = twins.regress(regressor, vertices[row, RIGHT], "freihand")
        np.testing.assert_allclose(found.joints[row], expected, atol=1e-5)


def test_a_known_wrist_moves_the_whole_hand(estimates):
    wrist = np.full((3, 3), np.nan, np.float32)
    wrist[0] = [0.1, 0.2, 0.7]
    joints, vertices = submissions.laid_on(
        estimates.joints, estimates.vertices, wrist, np.array([True, False, False])
    )
    np.testing.assert_allclose(joints[0, 0], wrist[0], rtol=1e-6)
    np.testing.assert_allclose(joints[1:], estimates.joints[1:])
    offset = wrist[0] - estimates.joints[0, 0]
    np.testing.assert_allclose(vertices[0], estimates.vertices[0] + offset, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["evaluation/00000000", "evaluation/00000002"], "00000001 is not among"),
        (["training/00000000"], "not an evaluation picture of FreiHAND"),
    ],
)
def test_freihand_needs_every_evaluation_picture(names, message):
    with pytest.raises(InputError, match=message):
        single_hand.freihand_order(names)


def test_ho3d_needs_its_list(tmp_path):
    with pytest.raises(InputError, match="Give evaluation.txt"):
        single_hand.ho3d_order((), tmp_path / "absent.txt")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="names no pictures"):
        single_hand.ho3d_order((), tmp_path / "empty.txt")


def test_a_picture_without_an_estimate_is_named_and_nothing_written(
    tmp_path, estimates
):
    order = ["evaluation/00000000", "evaluation/00000007"]
    with pytest.raises(InputError, match="1 of the 2 pictures.*00000007"):
        submissions.write(
            tmp_path / "pred.json", estimates, order, benchmark="freihand"
        )
    assert not list(tmp_path.iterdir())
