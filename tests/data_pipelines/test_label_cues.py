"""Ground truth as cues: drawn hands give back their own joints, labels and depth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.pipelines.cue_stage import LabelCues, relative_depth
from twohand_jax.pipelines.fixtures import scenes
from twohand_jax.pipelines.labelled import no_cues

SIZE = (150, 120)


@pytest.fixture(scope="module")
def cues_of() -> LabelCues:
    return LabelCues(mano.load())


@pytest.fixture(scope="module")
def scene() -> scenes.FixtureScene:
    return scenes.scenes(1, size=SIZE, seed=3)[0]


def example(scene: scenes.FixtureScene, model: str) -> dict[str, Any]:
    """The features that ground truth is made of."""
    params: Mapping[str, Any] = scene.params._asdict()
    return no_cues() | {
        "image_id": "a picture",
        "width": SIZE[0],
        "height": SIZE[1],
        "camera/valid": np.array(True),
        "camera/focal": scene.camera.focal,
        "camera/center": scene.camera.center,
        "hands/valid": scene.shown,
        "hands/joints_2d": scene.joints_px.astype(np.float32),
        "hands/joints_2d_valid": np.repeat(scene.shown[:, None], 21, axis=1),
        "mano/model": model,
        "mano/valid": np.ones(2, bool),
        **{f"mano/{name}": value for name, value in params.items()},
    }


def test_drawn_hands_give_their_labels(cues_of, scene) -> None:
    (cues,) = cues_of([example(scene, cues_of.model.name)])
    assert all(cues.has(name) for name in ("keypoints", "segmentation", "depth"))
    points = cues.values["keypoints"]
    np.testing.assert_allclose(points[..., :2], scene.joints_px, atol=1e-3)
    assert (points[..., 2] == 1).all()
    assert set(np.unique(scene.labels)) == {0, 1, 2}, "the test needs both hands"
    assert (cues.values["segmentation"] != scene.labels).mean() < 2e-3


def test_depth_spans_the_hands_and_grows_with_distance(cues_of, scene) -> None:
    (cues,) = cues_of([example(scene, cues_of.model.name)])
    labels, depth = cues.values["segmentation"], cues.values["depth"]
    assert depth[labels > 0].min() == 0 and depth[labels > 0].max() == 1
    assert not depth[labels == 0].any()
    means = [depth[labels == side + 1].mean() for side in (0, 1)]
    far = scene.vertices[..., 2].mean(axis=-1)
    assert (means[0] < means[1]) == (far[0] < far[1])


def test_a_hidden_hand_is_not_drawn(cues_of, scene) -> None:
    one = example(scene._replace(shown=np.array([False, True])), cues_of.model.name)
    (cues,) = cues_of([one])
    assert set(np.unique(cues.values["segmentation"])) == {0, 2}
    points = cues.values["keypoints"]
    assert not points[0].any() and (points[1, :, 2] == 1).all()


@pytest.mark.parametrize(
    "lacking",
    [
        {"mano/valid": np.array([True, False])},
        {"camera/valid": np.array(False)},
        {"hands/valid": np.zeros(2, bool)},
    ],
    ids=lambda lacking: next(iter(lacking)),
)
def test_without_a_fit_of_every_hand_there_are_no_maps(cues_of, scene, lacking) -> None:
    (cues,) = cues_of([example(scene, cues_of.model.name) | lacking])
    assert tuple(cues.values) == ("keypoints",)


def test_fits_of_another_hand_model_are_refused(cues_of, scene) -> None:
    with pytest.raises(
        InputError, match="a picture belong to the hand model 'mano', b"
    ):
        cues_of([example(scene, "mano")])


def test_relative_depth_of_one_distance_and_of_nothing() -> None:
    flat = np.array([[0.0, 0.5], [0.5, 0.0]])
    assert not relative_depth(flat).any() and not relative_depth(flat * 0).any()
