"""Why a row of a table cannot be filled, known before any network has run.

Every reason is a sentence, with the commands that would mend it where there are any.
"""

import dataclasses
from pathlib import Path

from twohand_jax import assets, build, mano
from twohand_jax.data import schema
from twohand_jax.errors import InputError
from twohand_jax.evaluation import fitness, methods
from twohand_jax.evaluation.protocols import Protocol
from twohand_jax.evaluation.tables.record_sets import PLAIN, Missing, Records, RecordSet
from twohand_jax.inference.prior import Prior
from twohand_jax.types import ManoModel
from twohand_jax.weights import native

ALL_CUES = list(methods.CUE_SETS)[-1]  # the row that is refined
MANO = "mano"  # name of the hand model of its released files
MANO_FILES = "folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, from mano.is.tue.mpg.de"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a model directory says about its network.

    Attributes:
        directory: the model directory.
        cues: which of keypoints, segmentation and depth it has an encoder for.
        dropout: share of training samples without each of them.
        hand: name of the hand model it estimates, which is known of the shipped one.
    """

    directory: Path
    cues: tuple[bool, bool, bool]
    dropout: tuple[float, float, float]
    hand: str | None = None

    @property
    def name(self) -> str:
        """The model in words."""
        return str(self.directory) if self.hand is None else "The shipped model"


def read_checkpoint(directory: Path) -> Checkpoint:
    """What the config of a model directory says.

    Raises:
        InputError: it is no model directory of a regressor.
    """
    experiment = build.experiment(native.load_config(directory))
    shipped = directory.resolve() == assets.REGRESSOR.resolve()
    return Checkpoint(
        directory=directory,
        cues=experiment.model.cues,
        dropout=experiment.augment.cue_dropout,
        hand=mano.load().name if shipped else None,
    )


def of_set(
    wanted: RecordSet,
    protocol: Protocol,
    found: Records | Missing,
    checkpoint: Checkpoint,
    hand: ManoModel,
) -> tuple[Missing, ...]:
    """Why no row of a protocol can be filled on a record set; empty if rows can.

    Args:
        wanted: the record set.
        protocol: what is computed.
        found: from ``record_sets.find``.
        checkpoint: what is evaluated.
        hand: the hand model that is loaded.
    """
    missing = [found] if isinstance(found, Missing) else []
    try:
        fitness.check(protocol, dataset=wanted.dataset, split=wanted.split)
    except InputError as error:
        missing.append(Missing(str(error)))
    fits = _hand_of_fits(wanted, found, hand)
    if fits != hand.name:
        missing.append(_other_hand(wanted, fits, hand))
    if checkpoint.hand not in (None, fits):
        missing.append(
            Missing(
                f"{checkpoint.name} estimates the hand model {checkpoint.hand!r}, "
                f"but the fits of {wanted.dataset} are of {fits!r}: give --model with "
                "one that was trained on such fits, for example by:",
                (wanted.training(),),
            )
        )
    return tuple(missing)


def of_row(
    method: str,
    checkpoint: Checkpoint,
    wanted: RecordSet,
    found: Records | Missing,
    prior: Prior | Missing,
) -> tuple[Missing, ...]:
    """Why this row cannot be filled, beside what keeps all rows from it.

    Args:
        method: name of the row, of ``evaluation.methods``.
        checkpoint: what is evaluated.
        wanted: the record set.
        found: from ``record_sets.find``.
        prior: for the refined row, or why there is none.
    """
    if method == methods.DIFFUSION:
        cues = of_row(ALL_CUES, checkpoint, wanted, found, prior)
        return (*cues, prior) if isinstance(prior, Missing) else cues
    for index, (cue, shown) in enumerate(
        zip(schema.CUES, methods.CUE_SETS[method], strict=True)
    ):
        encoder = checkpoint.cues[index]
        if shown and not encoder:
            return (Missing(f"{checkpoint.name} has no encoder of the {cue} cue."),)
        if shown and isinstance(found, Records) and not found.cues[index]:
            return (_without_cue(cue, wanted, found),)
        if encoder and not shown and checkpoint.dropout[index] == 0:
            return (_never_without(cue, method, wanted, checkpoint),)
    return ()


def _hand_of_fits(wanted: RecordSet, found: Records | Missing, hand: ManoModel) -> str:
    """Name of the hand model of the labels: another one than the loaded, if any is."""
    if isinstance(found, Missing):
        return mano.load().name if wanted.drawn else MANO
    others = sorted(found.hand_models - {hand.name, ""})
    return others[0] if others else hand.name


def _other_hand(wanted: RecordSet, fits: str, hand: ManoModel) -> Missing:
    hint = f"give its files with --mano ({MANO_FILES})."
    if fits == mano.load().name:
        hint = "evaluate a model of that hand, such as the shipped one, without --mano."
    return Missing(
        f"The fits of {wanted.dataset} are of the hand model {fits!r}, but "
        f"{hand.name!r} is loaded: {hint}"
    )


def _without_cue(cue: str, wanted: RecordSet, found: Records) -> Missing:
    path = found.path
    return Missing(
        f"The records in {path} have no {cue} cue. Move them to {path}{PLAIN} and run:",
        wanted.extraction(path.parent),
    )


def _never_without(
    cue: str, method: str, wanted: RecordSet, checkpoint: Checkpoint
) -> Missing:
    return Missing(
        f"{checkpoint.name} was never trained without the {cue} cue "
        "(augment.cue_dropout is 0), so its estimates without it mean nothing: give "
        "--model with one that was trained for this row.",
        wanted.training_for(method),
    )
