"""MediaPipe's landmark network is the one that LiteRT runs, and can be trained."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from twohand_jax import assets
from twohand_jax.cues import palm
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.errors import InputError
from twohand_jax.models import apply, hand_landmark
from twohand_jax.models.hand_landmark import LANDMARK_SIDE, HandLandmarkConfig
from twohand_jax.weights import mediapipe

# Differences are measured in these: pixels of the crop, metres of a hand, certainty.
SCALES = {"points": 224.0, "presence": 1.0, "right": 1.0, "world": 0.1}
MAPS = {3: (1, 14, 14, 112), 4: (1, 7, 7, 192)}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def variables():
    return mediapipe.read()


@pytest.fixture(scope="module")
def run():
    forward = jax.jit(hand_landmark.network().apply)
    return lambda variables, crops: forward(variables, crops)[0]


@pytest.fixture(scope="module")
def crops():
    """Noise, black, and a hand of the demo picture as MediaPipe cuts it out."""
    image = cv2.cvtColor(cv2.imread(str(assets.DEMO)), cv2.COLOR_BGR2RGB)
    hand = MediaPipeHands(num_threads=1)(image)[0]
    region = palm.tracking_region(hand.keypoints[:, :2])
    shown = palm.cut_region(image, region, side=LANDMARK_SIDE)
    noise = np.random.default_rng(0).random(shown.shape, np.float32)
    return np.stack([noise, np.zeros_like(noise), shown])


@pytest.fixture(scope="module")
def expected(crops):
    """What LiteRT says of each crop, and its last maps of 14² and 7² cells."""
    interpreter = Interpreter(
        str(assets.HAND_LANDMARK), num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    last = {tuple(d["shape"]): d["index"] for d in interpreter.get_tensor_details()}
    outputs = [d["index"] for d in interpreter.get_output_details()]
    rows = []
    for crop in crops:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crop[None])
        interpreter.invoke()
        found = [interpreter.get_tensor(index) for index in outputs]
        maps = {k: interpreter.get_tensor(last[shape]) for k, shape in MAPS.items()}
        rows.append(dict(zip(SCALES, found, strict=True)) | {"maps": maps})
    return rows


def test_all_outputs_are_those_of_litert(run, variables, crops, expected):
    found = run(variables, crops)
    for row, wanted in enumerate(expected):
        for name, scale in SCALES.items():
            value = np.asarray(getattr(found, name)[row]).ravel()
            gap = np.abs(value - wanted[name].ravel()).max() / scale
            assert gap < TOLERANCE, f"{name} of crop {row} differs by {gap:.1e}"
    assert found.presence[2] > 0.9 > found.presence[1]


def test_maps_are_those_of_litert(run, variables, crops, expected):
    maps = run(variables, crops).maps
    for row, wanted in enumerate(expected):
        for stage, value in wanted["maps"].items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(
                maps[stage][row], value[0], atol=TOLERANCE * scale
            )


@pytest.mark.slow
def test_a_crop_does_not_depend_on_those_beside_it(run, variables, crops):
    together, alone = run(variables, crops), run(variables, crops[2:])
    np.testing.assert_allclose(alone.points[0], together.points[2], atol=1e-3)
    np.testing.assert_allclose(alone.maps[3][0], together.maps[3][2], atol=1e-4)


def backbone(dtype="float32", **settings):
    """Network and MediaPipe's weights of a config."""
    config = HandLandmarkConfig(**settings)
    net = apply.network(
        lambda rngs: Plain(config.build(dtype=jnp.dtype(dtype), rngs=rngs))
    )
    names = apply.shapes(net).params["image"]["stages"]
    stages = mediapipe.read().params["image"]["stages"]
    params = {"image": {"stages": {name: stages[name] for name in names}}}
    return config, net, apply.Variables(params, {})


class Plain(hand_landmark.nnx.Module):
    """A backbone as ``apply.network`` calls networks."""

    def __init__(self, image):
        self.image = image

    def __call__(self, image, *, train):
        return self.image(image, frozen=not train)


@pytest.mark.parametrize(
    ("stride", "channels", "expanded"),
    [(16, 112, False), (32, 192, False), (32, 1152, True)],
)
@pytest.mark.slow
def test_a_backbone_is_the_network_up_to_its_stage(
    run, variables, crops, stride, channels, expanded
):
    config, net, own = backbone(output_stride=stride, expanded=expanded)
    assert (config.stride, config.channels) == (stride, channels)
    maps, _ = jax.jit(net.apply)(own, crops)
    whole = run(variables, crops).maps[config.stages - 1]
    np.testing.assert_allclose(maps, whole, atol=1e-4)
    small, _ = jax.eval_shape(net.apply, own, jnp.zeros((2, 100, 64, 3)))
    cells = -(-100 // stride), -(-64 // stride)
    assert small.shape == (2, *cells, channels)


@pytest.mark.parametrize("frozen", [0, 3])
@pytest.mark.slow
def test_frozen_stages_have_no_gradient_and_all_others_do(frozen):
    config, net, own = backbone(output_stride=16, frozen_stages=frozen)
    image = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))

    def size(params):
        return jnp.sum(
            net.apply(own._replace(params=params), image, train=True)[0] ** 2
        )

    gradient = jax.grad(size)(own.params)["image"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert leaf.any() != name.startswith(config.frozen), name
    assert len(config.frozen) == frozen


def test_bfloat16_is_close(crops):
    _, net, own = backbone(output_stride=16)
    _, short, _ = backbone("bfloat16", output_stride=16)
    hand = crops[2:]
    exact, rough = (jax.jit(each.apply)(own, hand)[0] for each in (net, short))
    assert rough.dtype == jnp.bfloat16
    error = jnp.linalg.norm(rough.astype(jnp.float32) - exact)
    assert error < 0.06 * jnp.linalg.norm(exact)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_stride": 12}, "output_stride is 12; it must be one of 2, 4, 8, 16, "),
        ({"output_stride": 16, "frozen_stages": 5}, "at least 0 and at most 4"),
    ],
)
def test_what_the_network_does_not_have_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        HandLandmarkConfig(**settings)
