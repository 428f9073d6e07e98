"""The table of everything that can be trained; configs are checked here."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax
import optax
from ml_collections import ConfigDict

from twohand_jax import fields
from twohand_jax.errors import InputError, did_you_mean
from twohand_jax.experiments.data import local_batch
from twohand_jax.models.apply import Network, Variables
from twohand_jax.progress import say
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.optim import OptimConfig, optimizer
from twohand_jax.train.task import Task
from twohand_jax.weights import native

# A line for each kind of experiment: its name in configs, and the module of this
# package that has its KIND.
MODULES: Mapping[str, str] = {
    "regressor": "regressor",
    "prior": "prior",
    "pair_encoder": "pair_encoder",
    "segdepth": "segdepth",
}
DEFAULT = "regressor"  # of configs that do not say
TOTAL_STEPS = "train.total_steps", "optim.total_steps"
Sections = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartConfig:
    """What a run starts from; None or an empty name: from random weights.

    Attributes:
        model: a model directory; what has the same name and shape is taken.
    """

    model: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """The settings of an experiment, checked and typed; each kind adds its sections.

    Attributes:
        kind: name of the kind of experiment in the table.
        model: sizes of the network.
        train: length of the run, and intervals of its reports.
        optim: settings of the optimiser.
        init: weights to start from.
    """

    kind: ClassVar[str]
    model: Any
    train: LoopConfig
    optim: OptimConfig
    init: StartConfig = StartConfig()

    @property
    def cues(self) -> tuple[str, ...]:
        """Kinds of cues that it needs of records beside the usual ones."""
        return ()

    @property
    def frozen(self) -> tuple[str, ...]:
        """Weights that are not trained, as beginnings of their paths."""
        return ()


def start_from(source: str | None) -> Callable[[Variables], Variables] | None:
    """Puts the weights of a model directory into a network, where there is one.

    Args:
        source: the directory; None or "" for none.
    """
    if not source:
        return None

    def adopt(variables: Variables) -> Variables:
        found, taken, total = native.load_fitting(source, variables)
        say(f"Starting from {taken} of {total} arrays of weights in {source}.")
        return found

    return adopt


E = TypeVar("E", bound=Experiment)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(Generic[E]):
    """An entry of the table.

    Attributes:
        config: dataclass of the whole experiment.
        network: from the experiment's ``model`` to pure functions.
        outline: what would be trained, in shapes only; opens no data.
        task: network, loss and data; opens the data. What is measured while it trains
            is added by ``evaluation.monitors``.
        shared: fields that two sections have, as "section.field" twice; a config may
            say one of them.
    """

    config: type[E]
    network: Callable[[Any], Network]
    outline: Callable[[E], Outline]
    task: Callable[[E], Task]
    shared: tuple[tuple[str, str], ...] = ()


class Run(NamedTuple):
    """A task with how it is optimised and for how long."""

    task: Task
    optimizer: optax.GradientTransformation
    ema_decay: float
    loop: LoopConfig


def kind_of(config: ConfigDict | Mapping[str, Any]) -> str:
    """Name of a config's kind of experiment; "regressor" if it has none.

    Raises:
        InputError: the name is not in the table.
    """
    found = _plain(config).get(native.EXPERIMENT, DEFAULT)
    if found not in MODULES:
        raise InputError(
            f"config.experiment is {found!r}{did_you_mean(found, MODULES)}; it must be "
            f"one of {', '.join(MODULES)}."
        )
    return found


def entry(name: str) -> Kind[Any]:
    """The entry of a kind of experiment in the table."""
    module = importlib.import_module(f"twohand_jax.experiments.{MODULES[name]}")
    return module.KIND


def parse(config: ConfigDict | Mapping[str, Any]) -> Experiment:
    """Turn a config (ConfigDict or parsed JSON, old versions too) into dataclasses.

    Raises:
        InputError: a section or field is unknown, missing, of the wrong type or out of
            range, or sections contradict each other; the message names the field.
    """
    chosen = entry(kind_of(config))
    return fields.dataclass_of(chosen.config, _sections(chosen, config), "config")


def parse_as(cls: type[E], config: ConfigDict | Mapping[str, Any]) -> E:
    """``parse`` for callers that need a certain kind of experiment.

    Raises:
        InputError: as in ``parse``, or the config is of another kind.
    """
    found = kind_of(config)
    if found != cls.kind:
        raise InputError(
            f"This config is of the experiment {found!r}, where one of {cls.kind!r} is "
            "needed."
        )
    experiment = parse(config)
    assert isinstance(experiment, cls)
    return experiment


def network(experiment: Experiment) -> Network:
    """The network of an experiment as pure functions."""
    return entry(experiment.kind).network(experiment.model)


def outline(experiment: Experiment) -> Outline:
    """Shapes of everything that an experiment would train; opens no data."""
    return entry(experiment.kind).outline(experiment)


def run(experiment: Experiment) -> Run:
    """Open the data of an experiment and make what ``train.loop`` needs.

    Raises:
        InputError: the experiment can't run here, or its data can't be used.
    """
    check_runnable(experiment)
    return Run(
        task=entry(experiment.kind).task(experiment),
        optimizer=optimizer(experiment.optim, frozen=experiment.frozen),
        ema_decay=experiment.optim.ema_decay,
        loop=experiment.train,
    )


def check_runnable(experiment: Experiment) -> None:
    """Refuse experiments that can't be trained on the available devices.

    ``parse`` does not check this, because a model directory may come from a machine
    with other devices.

    Raises:
        InputError: the experiment does not fit; the message names the field.
    """
    loop, devices = experiment.train, jax.device_count()
    if loop.total_steps < 1:
        raise InputError(
            f"config.train.total_steps is {loop.total_steps}; training needs at least "
            "1."
        )
    if devices % loop.fsdp:
        raise InputError(
            f"config.train.fsdp is {loop.fsdp}; it must divide the number of devices, "
            f"which is {devices}."
        )
    local_batch(loop)


def defaults(
    config: ConfigDict | Mapping[str, Any], path: Sequence[str]
) -> dict[str, Any] | None:
    """What the dataclasses say of a section that a config leaves out.

    Args:
        config: a whole config.
        path: names of the section and of fields in it that are sections themselves.

    Returns:
        The section's fields; {} where it has no defaults as a whole; None if there is
        no such section.
    """
    classes: tuple[Any, ...] = (entry(kind_of(config)).config,)
    default: Any = dataclasses.MISSING
    for name in path:
        field = next(
            (f for cls in classes for f in dataclasses.fields(cls) if f.name == name),
            None,
        )
        classes = tuple(c for cls in classes for c in fields.sections_in(cls, name))
        if field is None or not classes:
            return None
        default = getattr(default, name, field.default)
    return dataclasses.asdict(default) if isinstance(default, classes) else {}


def _sections(chosen: Kind[Any], config: ConfigDict | Mapping[str, Any]) -> Sections:
    """The config's sections, with what follows from other sections filled in.

    Sections that were filled come last, so that an error names the field that was
    given.
    """
    given = _plain(config)
    given.pop(native.EXPERIMENT, None)
    names = fields.names(chosen.config)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(
            f"The config has an unknown section {unknown[0]!r}"
            f"{did_you_mean(unknown[0], names)}; sections are {', '.join(names)}."
        )
    sections: Sections = {}
    for name in names:
        section = given.get(name, {})
        if not isinstance(section, Mapping):
            raise InputError(
                f"config.{name} is {section!r}; it must be a section: a mapping of "
                "fields."
            )
        sections[name] = dict(section)
    filled = set()
    for pair in (TOTAL_STEPS, *chosen.shared):
        (a, field_a), (b, field_b) = (name.split(".") for name in pair)
        for here, field, there, source in (
            (a, field_a, b, field_b),
            (b, field_b, a, field_a),
        ):
            if field not in sections[here] and source in sections[there]:
                sections[here][field] = sections[there][source]
                filled.add(here)
    return {name: sections[name] for name in sorted(names, key=filled.__contains__)}


def _plain(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    return native.current(
        config.to_dict() if isinstance(config, ConfigDict) else config
    )
