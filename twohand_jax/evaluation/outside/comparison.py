"""Another system beside a trained regressor, on the hands that the other found."""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

import jax

from twohand_jax.data import shards
from twohand_jax.errors import InputError
from twohand_jax.evaluation import evaluator, protocols, run
from twohand_jax.evaluation.outside import mediapipe, prediction_file
from twohand_jax.evaluation.outside.prediction_file import Outside, SplitLabels
from twohand_jax.experiments import data
from twohand_jax.types import ManoModel

MEDIAPIPE = "mediapipe.npz"


class Comparison(NamedTuple):
    """Results of the other system and of ours, and how many records it covers."""

    evaluation: run.Evaluation
    coverage: str


def compare_set(
    model_directory: Path,
    dataset: str | Path,
    split: str,
    protocol: str,
    *,
    hand: ManoModel,
    predictions: Path | None = None,
    workers: int = 1,
    out: Path,
    batch_size: int | None = None,
    progress: bool = True,
) -> Comparison:
    """Scores of another system and of a regressor on the hands that system found.

    Args:
        model_directory: of the regressor.
        dataset: directory of records.
        split: its split.
        protocol: name of a protocol.
        hand: hand model.
        predictions: file of the other system; None runs MediaPipe.
        workers: processes of MediaPipe.
        out: where MediaPipe's predictions and all scores are kept.
        batch_size: records a batch of this process.
        progress: whether to show bars.

    Raises:
        InputError: the file is not usable, or the protocol does not fit.
    """
    chosen = protocols.get(protocol)
    records = shards.open_split(dataset, split)
    protocols.check_fit(chosen, dataset=records.dataset, split=split)
    name, other = _given(predictions, chosen)
    subject = run.regressor(Path(model_directory), hand=hand)
    reader = data.reader(subject.experiment, str(dataset), split, shuffle=False)
    labels = prediction_file.labels_from_rows(reader.rows())
    if other is None:
        other = mediapipe.predictions(
            reader.rows(),
            labels.image_ids(),
            out / MEDIAPIPE,
            workers=workers,
            progress=name if progress else None,
        )
    coverage = prediction_file.check_labels(other, labels)
    evaluation = run.evaluate(
        beside(subject, other, labels, name=name),
        dataset,
        split,
        protocol=chosen,
        score=run.score_found(evaluator.scorer(chosen)),
        out=out,
        batch_size=batch_size,
        progress=progress,
    )
    return Comparison(evaluation, coverage)


def _given(
    predictions: Path | None, protocol: protocols.Protocol
) -> tuple[str, Outside | None]:
    """The other system's name and file (None: MediaPipe, to be run), both checked."""
    other = None if predictions is None else prediction_file.read(predictions)
    name = mediapipe.NAME if predictions is None else predictions.stem
    has_mesh = other is not None and other.vertices is not None
    prediction_file.check_protocol(protocol, where=name, has_mesh=has_mesh)
    if other is None and jax.process_count() > 1:
        raise InputError(
            "MediaPipe runs on one host: run it there, without --distributed, and give "
            f"the {MEDIAPIPE} of its --out with --predictions."
        )
    return name, other


def beside(
    subject: run.Subject, other: Outside, labels: SplitLabels, *, name: str
) -> run.Subject:
    """The other system's row, then the subject's rows on the hands it found."""
    names = labels.image_ids()
    hands = prediction_file.found_hands(other, names)
    ours = {
        f"{row}, hands of {name}": run.limited(method, hands)
        for row, method in subject.methods.items()
    }
    return dataclasses.replace(
        subject,
        methods={name: prediction_file.method(other, names), **ours},
        identity=dict(subject.identity) | {"other": digest(other)},
    )


def digest(other: Outside) -> str:
    """Tells predictions apart."""
    arrays = (other.joints, other.found, other.vertices, other.rel_trans)
    parts = (array.tobytes() for array in arrays if array is not None)
    names = "\n".join(other.image_id.tolist()).encode()
    return hashlib.sha256(b"".join((names, *parts))).hexdigest()
