"""The regressor with MediaPipe's landmark network: config, training, files, export."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from tests.data import scenes
from tests.inference import networks
from twohand_jax import experiments, mano
from twohand_jax.crops.augment import prepare
from twohand_jax.errors import InputError
from twohand_jax.experiments import regressor
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.inference import export, predict
from twohand_jax.models import apply, hand_landmark
from twohand_jax.models.apply import Variables
from twohand_jax.train import optim, state, step
from twohand_jax.weights import mediapipe, native

STEPS, FROZEN = 2, 2
CANVAS = 64


def config(**changes):
    """configs/tiny.py made small, with the backbone and its weights."""
    made = networks.config()
    made["model"]["image"] = {"output_stride": 8, "frozen_stages": FROZEN}
    made["init"] = {"image": "mediapipe"}
    for name, value in changes.items():
        section, field = name.split("__")
        made[section][field] = value
    return json.loads(json.dumps(made))


@pytest.fixture(scope="module")
def trained() -> Variables:
    """The network after some steps."""
    experiment = experiments.parse_as(RegressorExperiment, config())
    network, model = regressor.network(experiment.model), mano.load()
    settings = optim.OptimConfig(
        learning_rate=1e-3, schedule="constant", weight_decay=0.5
    )
    optimizer = optim.optimizer(settings, frozen=experiment.frozen)
    fresh = state.create(network, optimizer, jax.random.key(0))
    now = state.adopt(fresh, regressor.backbones(experiment.init))
    loss = regressor.loss(network, regressor.loss_config(experiment))
    advance = jax.jit(step.make(loss, optimizer, ema_decay=0.9))
    for number in range(STEPS):
        batch = scenes.batch(number, (2,), model)
        key = jax.random.key(1)
        now, metrics = advance(now, batch, model, key, number + 1)
        assert np.isfinite(metrics["loss/total"])
    assert int(now.step) == STEPS
    return state.inference_variables(now)


@pytest.mark.slow
def test_frozen_stages_stay_and_the_others_are_trained(trained):
    stages = mediapipe.read().params["image"]["stages"]
    for name, stage in trained.params["image"]["stages"].items():
        same = jax.tree.map(np.array_equal, stage, stages[name])
        kept = {same_leaf for same_leaf in jax.tree.leaves(same)}
        assert kept == {int(name) < FROZEN}


@pytest.mark.slow
def test_it_is_saved_loaded_and_exported(tmp_path, trained):
    native.save(tmp_path / "model", trained, config())
    loaded = predict.load_network(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, trained)
    path = tmp_path / "hands.zip"
    export.write(
        path, loaded, mano.load(), cues=(), canvas_size=CANVAS, platforms=("cpu",)
    )
    content = zipfile.ZipFile(path).read(export.PROGRAM)
    program = jax_export.deserialize(bytearray(content))
    given = {
        name: np.ones((3, *field.shape), field.dtype)
        for name, field in export.inputs(CANVAS, ()).items()
    }
    given["boxes"] *= np.array([10, 10, 40, 40], np.float32)
    given["T_canvas_image"] *= np.eye(2, 3, dtype=np.float32)
    assert np.isfinite(program.call(given)["vertices"]).all()


@pytest.mark.slow
def test_frozen_weights_may_be_left_to_the_file_that_ships(tmp_path, trained):
    made, lean = config(), tmp_path / "lean"
    frozen = experiments.parse(made).frozen
    native.save(lean, trained, made, omit=frozen)
    with np.load(lean / native.WEIGHTS) as kept:
        names = [name.removeprefix("params/") for name in kept.files]
    assert not any(name.startswith(frozen) for name in names)
    loaded = predict.load_network(lean)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, trained)
    native.save(lean, trained, made | {"init": {}}, omit=frozen)
    network = experiments.network(experiments.parse(made))
    with pytest.raises(InputError, match="has no weight 'params/image/stages/0"):
        native.load(lean, apply.shapes(network))


@pytest.mark.slow
def test_half_precision_and_full_size_have_the_same_shapes():
    made = config(model__dtype="bfloat16", model__remat=True)
    made["model"]["image"]["output_stride"] = 16
    made["model"]["cue"]["last_stride"] = 4
    made["model"]["crop_size"] = made["crop"]["crop_size"] = 224
    made["model"]["cells"] = made["crop"]["cells"] = 14
    outline = experiments.outline(experiments.parse(made))
    optimizer = optim.optimizer(outline.optim)
    start = jax.eval_shape(
        lambda key: state.create(outline.network, optimizer, key), jax.random.key(0)
    )
    advance = step.make(outline.loss, optimizer, ema_decay=0.0)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    after, _ = jax.eval_shape(
        advance, start, outline.batch, outline.constants, jax.random.key(0), number
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), start
    )


RESNET = {"depths": (1, 1), "width": 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init__image": "weights/resnet50"}, "init.image is .* weights are 'mediapip"),
        ({"init__image": ""}, "frozen_stages is 2: these would stay random"),
        ({"model__image": RESNET}, "init.image is 'mediapipe', but .* a ResNet"),
        ({"model__image": {"output_stride": 16}}, "image .stride 16. makes 2"),
        ({"model__image": {"output_stride": 8, "width": 2}}, "which fits none of"),
    ],
)
def test_what_does_not_fit_the_backbone_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        experiments.parse(config(**changes))


def test_an_empty_backbone_is_still_a_resnet():
    made = config(model__image={}, model__crop_size=128, crop__crop_size=128)
    made["model"]["cue"]["last_stride"] = 8
    made["init"] = {}
    experiment = experiments.parse(made)
    assert experiment.model.image == regressor.RegressorConfig().cue


def test_each_backbone_says_how_pictures_are_normalised():
    ours, theirs = experiments.parse(config()).model, regressor.RegressorConfig()
    assert (ours.image.mean, ours.image.std) == ((0.0,) * 3, (1.0,) * 3)
    assert theirs.image.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("frozen", [2, 3])
@pytest.mark.slow
def test_features_of_another_run_take_the_frozen_stages_place(frozen):
    """MediaPipe's own maps of the same crops, which come with its landmarks."""
    made = config()
    made["model"]["image"]["frozen_stages"] = frozen
    network = experiments.network(experiments.parse(made))
    variables = mediapipe.adopt_stages(networks.random_variables(network, scale=0.5))
    crop = experiments.parse(made).crop
    inputs, _ = jax.jit(lambda batch: prepare(batch, crop=crop))(
        scenes.batch(0, (2,), mano.load())
    )
    run = jax.jit(network.apply)
    expected, _ = run(variables, inputs)
    whole = jax.jit(hand_landmark.network().apply)
    crops = inputs.image.reshape(-1, *inputs.image.shape[2:])
    said, _ = whole(mediapipe.read(), crops)
    features = said.maps[frozen - 1]
    features = features.reshape(2, 2, *features.shape[1:])
    blind = inputs._replace(image=inputs.image * 0, features=features)
    found, _ = run(variables, blind)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected
    )
