"""The regressor's experiment: augment, forward, losses (METHOD §4)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float, Key

from twohand_jax import assets, fields, losses, mano
from twohand_jax.crops import augment as augmentation
from twohand_jax.crops import cue_table
from twohand_jax.crops.augment import AugmentConfig
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.experiments import base, data
from twohand_jax.experiments.base import Experiment, Kind, StartConfig
from twohand_jax.experiments.data import DataConfig
from twohand_jax.losses import LossConfig
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.hamer import Hamer, HamerConfig
from twohand_jax.models.hand_landmark import HandLandmarkConfig
from twohand_jax.models.layers import BLOCK
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.train import dry_run
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.step import Loss
from twohand_jax.train.task import Task
from twohand_jax.types import Batch, Inputs, ManoModel, Mean
from twohand_jax.weights.native import MEDIAPIPE

NETWORKS: Mapping[type, Callable[..., Any]] = {
    RegressorConfig: Regressor,
    HamerConfig: Hamer,
}
SHIPPED = "shipped"  # as init.model: the regressor that ships
SHARED = ("crop.crop_size", "model.crop_size"), ("crop.cells", "model.cells")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitConfig(StartConfig):
    """Weights to start from; None or an empty name: none.

    Attributes:
        model: a whole model directory, or "shipped" for the one that ships; it comes
            after the backbones.
        image: of the picture: directory of a converted one (``twohand weights
            convert``), or "mediapipe" for the shipped weights of MediaPipe's hand
            landmark network.
        cue: directory of a converted one that all cues start from.
        transnet: directory of a converted one that TransNet's stages start from.
    """

    image: str | None = None
    cue: str | None = None
    transnet: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressorExperiment(Experiment):
    """A whole experiment with the regressor, checked and typed.

    A config may give ``crop_size`` and ``cells`` in ``crop`` or in ``model``.
    """

    kind: ClassVar[str] = "regressor"
    model: RegressorConfig | HamerConfig
    crop: CropConfig
    augment: AugmentConfig
    loss: LossConfig
    data: DataConfig
    init: InitConfig = InitConfig()

    @property
    def cues(self) -> tuple[str, ...]:
        """Those of the network."""
        return self.model.cues

    @property
    def frozen(self) -> tuple[str, ...]:
        """Those of the network."""
        return self.model.frozen

    def __post_init__(self) -> None:
        for there, here in SHARED:
            name = here.removeprefix("model.")
            ours, theirs = getattr(self.model, name), getattr(self.crop, name)
            if ours != theirs:
                raise fields.error(
                    self,
                    here,
                    f"is {ours} but config.{there} is {theirs}; they must be equal, "
                    "and one of them is enough.",
                )
        self._check_start()

    def _check_start(self) -> None:
        """Refuse weights of the picture's backbone that are of another network."""
        given = self.init.image
        if isinstance(self.model, HamerConfig):
            if given:
                problem = "but model.network is HaMeR, which has no such backbone."
                raise fields.error(self, "init.image", f"is {given!r}, {problem}")
        elif not isinstance(self.model.image, HandLandmarkConfig):
            if given == MEDIAPIPE:
                problem = "but model.image is a ResNet; give it an output_stride."
                raise fields.error(self, "init.image", f"is {given!r}, {problem}")
        elif given not in (MEDIAPIPE, None, ""):
            raise fields.error(
                self,
                "init.image",
                f"is {given!r}, but model.image is MediaPipe's hand landmark network; "
                f"its weights are {MEDIAPIPE!r}.",
            )
        elif self.model.frozen and not given and not self.init.model:
            raise fields.error(
                self,
                "init.image",
                f"is {given!r}, but model.image.frozen_stages is "
                f"{self.model.image.frozen_stages}: these would stay random; give "
                f"{MEDIAPIPE!r}, or a whole model as init.model.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressorLossConfig:
    """Settings of the loss beside the network's.

    Attributes:
        crop: how hands are cut out.
        augment: random changes of the training pictures.
        terms: their weights, and what they are means of.
        remat: keep only the blocks' outputs for the backward pass and compute the rest
            again; memory against time.
    """

    crop: CropConfig
    augment: AugmentConfig
    terms: LossConfig
    remat: bool = False


def network(config: RegressorConfig | HamerConfig) -> Network:
    """The regressor as pure functions."""
    build = NETWORKS[type(config)]
    return apply.network(lambda rngs: build(config, rngs=rngs))


def loss_config(experiment: RegressorExperiment) -> RegressorLossConfig:
    """Settings of an experiment's loss."""
    return RegressorLossConfig(
        crop=experiment.crop,
        augment=experiment.augment,
        terms=experiment.loss,
        remat=experiment.model.remat,
    )


def loss(network: Network, config: RegressorLossConfig) -> Loss:
    """The loss of one batch of records; its constant is the hand model."""

    def forward(params: Weights, batch_stats: Weights, inputs: Inputs):
        output, updated = network.apply(
            Variables(params, batch_stats), inputs, train=True
        )
        return output, updated.batch_stats

    if config.remat:
        keep_blocks = jax.checkpoint_policies.save_only_these_names(BLOCK)
        forward = jax.checkpoint(forward, policy=keep_blocks)

    def compute(
        params: Weights,
        batch_stats: Weights,
        batch: Batch,
        model: ManoModel,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        inputs, targets = augmentation.augment(
            key, batch, model, crop=config.crop, augment=config.augment
        )
        output, updated = forward(params, batch_stats, inputs)
        total, terms = losses.compute(
            output,
            model,
            inputs,
            targets,
            batch.weight,
            config=config.terms,
            crop=config.crop,
        )
        return total, (terms, updated)

    return compute


def outline(experiment: RegressorExperiment) -> Outline:
    """The experiment in shapes only."""
    net, loop = network(experiment.model), experiment.train
    return Outline(
        network=net,
        loss=loss(net, loss_config(experiment)),
        constants=mano.load(),
        batch=dry_run.abstract_records(
            loop.batch_size,
            canvas=experiment.data.canvas_size,
            cues=cue_table.in_order({*cue_table.DEFAULT, *experiment.cues}),
        ),
        optim=experiment.optim,
        loop=loop,
        unit="img",
        # HaMeR's "auto" is bfloat16 on accelerators, which is what is asked for.
        precision="float32" if experiment.model.dtype == "float32" else "bfloat16",
    )


def hand_model(experiment: RegressorExperiment) -> ManoModel:
    """The hand model of the experiment's fits.

    Raises:
        InputError: it is not the one that ``data.hand`` names.
    """
    model = mano.load(experiment.data.mano or None)
    data.expect_hand(model, experiment.data.hand, "config.data.hand")
    return model


def task(experiment: RegressorExperiment) -> Task:
    """Training on record sets."""
    net = network(experiment.model)
    train = data.train_reader(experiment)
    return Task(
        network=net,
        loss=loss(net, loss_config(experiment)),
        constants=hand_model(experiment),
        batches=data.prefetched(train.batches),
        describe=train.describe,
        adopt=backbones(experiment.init),
        records=data.records(experiment.data),
    )


def backbones(init: InitConfig) -> Callable[[Variables], Variables] | None:
    """Puts pretrained weights into the network, where the config names some."""
    model = str(assets.REGRESSOR) if init.model == SHIPPED else init.model
    whole = base.start_from(model)
    if not (init.image or init.cue or init.transnet):
        return whole
    from twohand_jax.weights import mediapipe, torchvision

    def adopt(variables: Variables) -> Variables:
        image = init.image or None
        if image == MEDIAPIPE:
            variables, image = mediapipe.adopt_stages(variables), None
        variables = torchvision.adopt_backbones(
            variables,
            image=image,
            cue=init.cue or None,
            transnet=init.transnet or None,
        )
        return variables if whole is None else whole(variables)

    return adopt


KIND = Kind(
    config=RegressorExperiment,
    network=network,
    outline=outline,
    task=task,
    shared=SHARED,
)
