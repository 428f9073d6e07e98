"""From an experiment to what the training loop takes: network, loss and data."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jaxtyping import Float

from twohand_jax import build, mano
from twohand_jax.data import poses
from twohand_jax.data.batching import Prefetcher, to_global
from twohand_jax.diffusion import representation, schedule
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, methods, pictures, protocols
from twohand_jax.evaluation import segdepth as map_evaluation
from twohand_jax.evaluation.prior import denoising
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train import dry_run, optim, pair_encoder, prior, regressor, segdepth
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.step import Loss
from twohand_jax.train.task import Task
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams, NoiseSchedule

PICTURED = 6


class Run(NamedTuple):
    """A task with how it is optimised and for how long."""

    task: Task
    optimizer: optax.GradientTransformation
    ema_decay: float
    loop: LoopConfig


def make(config: Mapping[str, Any]) -> Run:
    """The run of a config, whatever it trains; opens its data.

    Args:
        config: parsed, see ``build``.

    Raises:
        InputError: the config or its data are not usable.
    """
    experiment: (
        build.Experiment
        | build.PriorExperiment
        | build.PairEncoderExperiment
        | build.SegDepthExperiment
    )
    kind = build.kind(config)
    if kind == build.PRIOR:
        experiment = build.prior_experiment(config)
        task = prior_task(experiment)
    elif kind == build.FEATURES:
        experiment = build.pair_encoder_experiment(config)
        task = pair_encoder_task(experiment)
    elif kind == build.MAPS:
        experiment = build.segdepth_experiment(config)
        task = segdepth_task(experiment)
    else:
        experiment = build.experiment(config)
        task = regressor_task(experiment)
    return Run(
        task=task,
        optimizer=optim.optimizer(experiment.optim),
        ema_decay=experiment.optim.ema_decay,
        loop=experiment.train,
    )


def outline(config: Mapping[str, Any]) -> Outline:
    """What a config would train, in shapes only; opens no data.

    Raises:
        InputError: the config is not usable.
    """
    kind, model = build.kind(config), mano.load()
    numbers: Any = jax.ShapeDtypeStruct((representation.SIZE,), jnp.float32)
    statistics = representation.Statistics(numbers, numbers)
    if kind == build.PRIOR:
        one = build.prior_experiment(config)
        network = build.denoiser(one.model)
        constants = prior.PriorConstants(model, statistics, _schedule(one.diffusion))
        loss = prior.loss(network, one.loss)
        batch = dry_run.abstract_pairs(one.train.batch_size)
        return Outline(network, loss, constants, batch, one.optim, one.train, "pair")
    if kind == build.FEATURES:
        other = build.pair_encoder_experiment(config)
        network = build.pair_encoder(other.model)
        known = pair_encoder.PairEncoderConstants(model, statistics)
        loss = pair_encoder.loss(network, other.loss)
        batch = dry_run.abstract_pairs(other.train.batch_size)
        return Outline(network, loss, known, batch, other.optim, other.train, "pair")
    if kind == build.MAPS:
        return _segdepth_outline(build.segdepth_experiment(config))
    experiment = build.experiment(config)
    network = build.regressor(experiment.model)
    loss = regressor.loss(network, build.regressor_loss(experiment))
    size = experiment.train.batch_size
    records = dry_run.abstract_records(size, canvas=experiment.data.canvas_size)
    return Outline(
        network, loss, model, records, experiment.optim, experiment.train, "img"
    )


def regressor_task(experiment: build.Experiment) -> Task:
    """Training of the regressor on record sets."""
    network = build.regressor(experiment.model)
    model = mano.load()
    train = build.train_reader(experiment)
    test = build.reader(experiment, experiment.data.test, "test", shuffle=False)
    estimate = methods.estimator(network, crop=experiment.crop)
    score = evaluator.scorer(protocols.get("wrist"))
    dropout = experiment.augment.cue_dropout
    known = methods.trained_rows(experiment.model.cues, dropout)
    draw = pictures.drawer(network, crop=experiment.crop)

    def evaluate(variables: Variables) -> dict[str, float]:
        rows = methods.cue_methods(estimate, variables, model, cue_sets=known)
        parts = list(evaluator.scored(rows, score, test.once(), model))
        return {
            f"{row}/{name}": value
            for row, values in evaluator.figures(evaluator.gather(parts)).items()
            for name, value in values.items()
        }

    def picture(variables: Variables) -> np.ndarray:
        return draw(variables, next(test.once()), model, count=PICTURED)

    return Task(
        network=network,
        loss=regressor.loss(network, build.regressor_loss(experiment)),
        constants=model,
        batches=_prefetched(train.batches),
        describe=train.describe,
        evaluate=evaluate,
        pictures=picture,
        adopt=_backbones(experiment),
    )


def prior_task(experiment: build.PriorExperiment) -> Task:
    """Training of the two-hand prior on pose sets."""
    network = build.denoiser(experiment.model)
    model = mano.load()
    settings, data = experiment.diffusion, experiment.data
    _expect_hand(model, settings.hand, "config.diffusion.hand")
    train = pair_vectors(model, poses.load(data.train, "train"))
    test = pair_vectors(model, poses.load(data.test, "test"))
    statistics = representation.compute_statistics(
        jnp.asarray(train[:, 1]), kind=settings.normalise
    )
    constants = prior.PriorConstants(model, statistics, _schedule(settings))
    fixed = prior.fixed_numbers(settings, statistics, constants.schedule)
    return Task(
        network=network,
        loss=prior.loss(network, experiment.loss),
        constants=constants,
        batches=_pair_batches(train, experiment.train),
        describe=lambda record: f"pair {record} of {data.train}",
        evaluate=functools.partial(
            denoising.evaluate, network, vectors=test, constants=constants
        ),
        adopt=lambda variables: variables._replace(batch_stats=fixed),
        unit="pair",
    )


def pair_encoder_task(experiment: build.PairEncoderExperiment) -> Task:
    """Training of the feature network on pose sets."""
    network = build.pair_encoder(experiment.model)
    model, data = mano.load(), experiment.data
    _expect_hand(model, experiment.loss.hand, "config.loss.hand")
    train = pair_vectors(model, poses.load(data.train, "train"))
    test = pair_vectors(model, poses.load(data.test, "test"))
    statistics = representation.compute_statistics(jnp.asarray(train[:, 1]))
    constants = pair_encoder.PairEncoderConstants(model, statistics)
    return Task(
        network=network,
        loss=pair_encoder.loss(network, experiment.loss),
        constants=constants,
        batches=_pair_batches(train, experiment.train),
        describe=lambda record: f"pair {record} of {data.train}",
        evaluate=functools.partial(
            pair_encoder.evaluate, network, vectors=test, constants=constants
        ),
        unit="pair",
    )


def segdepth_task(experiment: build.SegDepthExperiment) -> Task:
    """Training of the map network on record sets."""
    network = build.segdepth_network(experiment.model)
    train = build.train_reader(experiment)
    test = build.reader(experiment, experiment.data.test, "test", shuffle=False)

    def evaluate(variables: Variables) -> dict[str, float]:
        return map_evaluation.evaluate(
            network, variables, test.once(), region=experiment.crop
        )

    return Task(
        network=network,
        loss=_segdepth_loss(network, experiment),
        constants=mano.load(),
        batches=_prefetched(train.batches),
        describe=train.describe,
        evaluate=evaluate,
    )


def _segdepth_outline(experiment: build.SegDepthExperiment) -> Outline:
    network, loop = build.segdepth_network(experiment.model), experiment.train
    return Outline(
        network=network,
        loss=_segdepth_loss(network, experiment),
        constants=mano.load(),
        batch=dry_run.abstract_records(
            loop.batch_size, canvas=experiment.data.canvas_size
        ),
        optim=experiment.optim,
        loop=loop,
        unit="img",
    )


def _segdepth_loss(network: Network, experiment: build.SegDepthExperiment) -> Loss:
    return segdepth.loss(
        network, experiment.loss, region=experiment.crop, changes=experiment.augment
    )


def pair_vectors(model: ManoModel, params: ManoParams) -> Float[np.ndarray, "n 2 64"]:
    """All pairs as the prior's raw vectors, and all again with the other reference.

    In the first half the right hand is the reference, in the second the left one.
    """
    pack = jax.jit(representation.pack)
    parts = []
    for side in (RIGHT, LEFT):
        reference = jnp.full(params.transl.shape[:-2], side)
        parts.append(np.asarray(pack(model, params, reference)))
    return np.concatenate(parts)


def _expect_hand(model: ManoModel, name: str, where: str) -> None:
    if model.name != name:
        raise InputError(
            f"{where} is {name!r}, but the hand model at hand is {model.name!r}: what "
            "is trained on poses belongs to one hand model."
        )


def _pair_batches(
    vectors: Float[np.ndarray, "n 2 64"], loop: LoopConfig
) -> Callable[[int, NamedSharding], Prefetcher[Any]]:
    def batches(step: int) -> Any:
        return poses.batches(
            vectors,
            step,
            batch_size=build.local_batch(loop),
            seed=loop.seed,
            process=jax.process_index(),
            num_processes=jax.process_count(),
        )

    return _prefetched(batches)


def _schedule(settings: prior.DiffusionConfig) -> NoiseSchedule:
    return schedule.linear(
        steps=settings.timesteps, start=settings.beta_start, stop=settings.beta_end
    )


def _backbones(
    experiment: build.Experiment,
) -> Callable[[Variables], Variables] | None:
    """Puts converted backbones into the network, where the config names some."""
    init = experiment.init
    if not (init.image or init.cue):
        return None
    from twohand_jax.weights import torchvision

    return functools.partial(
        torchvision.adopt_backbones, image=init.image or None, cue=init.cue or None
    )


def _prefetched(
    batches: Callable[[int], Any],
) -> Callable[[int, NamedSharding], Prefetcher[Any]]:
    def start(step: int, sharding: NamedSharding) -> Prefetcher[Any]:
        return Prefetcher(
            batches(step), functools.partial(to_global, sharding=sharding)
        )

    return start
