import jax
import numpy as np
import pytest

from twohand_jax import assets
from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.fusion import FusionConfig
from twohand_jax.models.hand_landmark import HandLandmarkConfig
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.weights import mediapipe

CONTENT = assets.HAND_LANDMARK.read_bytes()


def test_every_weight_of_the_file_is_used():
    params = mediapipe.read().params
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    assert (len(sizes), sum(sizes)) == (2 * (31 + 16 + 4), 2_715_680)


def test_a_regressor_starts_from_the_shipped_weights():
    config = RegressorConfig(
        cues=(),
        image=HandLandmarkConfig(output_stride=8),
        fusion=FusionConfig(layers=1, width=16, heads=2, mlp=16),
        transnet=None,
        crop_size=64,
        head_channels=8,
        rotation_channels=4,
    )
    net = apply.network(lambda rngs: Regressor(config, rngs=rngs))
    shapes = apply.shapes(net)
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    started = mediapipe.adopt_stages(blank)
    assert jax.tree.structure(started) == jax.tree.structure(shapes)
    stages = mediapipe.read().params["image"]["stages"]
    for name, stage in started.params.pop("image")["stages"].items():
        jax.tree.map(np.testing.assert_array_equal, stage, stages[name])
    assert not any(leaf.any() for leaf in jax.tree.leaves(started))
    assert set(blank.params) == set(shapes.params), "the given variables changed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a network file of LiteRT"),
        (b"not a network", "is not a network file of LiteRT"),
        (CONTENT[:5_000_000], "is damaged or holds another network"),
        (CONTENT[:8], "is damaged or holds another network"),
        (
            assets.HAND_LANDMARK.with_name("palm_detection_full.tflite").read_bytes(),
            "holds another network",
        ),
    ],
    ids=["empty", "text", "cut", "header", "palms"],
)
def test_another_file_is_refused(tmp_path, content, message):
    path = tmp_path / "network.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        mediapipe.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.tflite is not readable"):
        mediapipe.read(tmp_path / "nowhere.tflite")


def test_damage_is_refused_or_harmless(tmp_path):
    """Bytes changed at random, most of them where the program stands."""
    rng, path = np.random.default_rng(0), tmp_path / "network.tflite"
    for trial in range(24):
        content = np.frombuffer(CONTENT, np.uint8).copy()
        last = len(content) if trial % 2 else 60_000
        places = rng.integers(8, last, 20) if trial % 4 else -rng.integers(1, last, 20)
        content[places] = rng.integers(0, 256, 20)
        path.write_bytes(content)
        try:
            params = mediapipe.read(path).params
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
