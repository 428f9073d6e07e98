"""One evaluation from files to files: a model, a record set, a protocol."""

import dataclasses
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax import experiments, reading, switches
from twohand_jax.data import shards
from twohand_jax.data.batching import Prefetcher
from twohand_jax.errors import InputError
from twohand_jax.evaluation import (
    contact_scores,
    evaluator,
    methods,
    protocols,
    results,
)
from twohand_jax.evaluation.evaluator import Method, Score, Store
from twohand_jax.evaluation.prediction_writer import PredictionWriter
from twohand_jax.evaluation.results import Result, Scores
from twohand_jax.evaluation.truth import Truth
from twohand_jax.experiments import data
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.inference.prior import Prior
from twohand_jax.models import apply
from twohand_jax.progress import Bar
from twohand_jax.types import Batch, ManoModel, Mean, Prediction, Targets
from twohand_jax.weights import native

if TYPE_CHECKING:
    from twohand_jax.data.tfrecord import Reader


BATCH = 64
SAMPLES = "samples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated: methods and everything that decides their estimates.

    Attributes:
        methods: the methods, by the name of their row.
        identity: JSON values that identify weights and settings.
        experiment: the experiment, which decides how records are read.
        hand: hand model of the estimates and of the true hands.
    """

    methods: Mapping[str, Method]
    identity: Mapping[str, object]
    experiment: RegressorExperiment
    hand: ManoModel


def regressor(
    directory: Path, *, hand: ManoModel, refine: Prior | None = None
) -> Subject:
    """A trained regressor, a method for each set of cues it was trained for.

    Args:
        directory: of the model.
        hand: hand model it was trained with.
        refine: adds the estimates from all cues refined with this prior.

    Raises:
        InputError: it was trained for cues that are not a row of a table.
    """
    config = native.load_config(directory)
    experiment = experiments.parse_as(RegressorExperiment, config)
    model = experiment.model
    network = experiments.network(experiment)
    variables = native.load(directory, apply.shapes(network))
    estimate = methods.estimator(network, crop=experiment.crop)
    known = methods.trained_rows(model.cues, experiment.augment.cue_dropout)
    if not known:
        raise InputError(
            f"{directory} was trained for the cues {', '.join(model.cues)} alone, "
            f"which is not a row of a table: rows are {', '.join(methods.CUE_SETS)}, "
            "each with the cues before it."
        )
    rows = methods.cue_methods(estimate, variables, hand, cue_sets=known)
    identity = {"model": digest(directory), "hand": hand.name, "prior": ""}
    if refine is not None:
        rows[methods.DIFFUSION] = methods.refined(list(rows.values())[-1], refine)
        identity["prior"] = _weights_digest(refine.variables)
    return Subject(methods=rows, identity=identity, experiment=experiment, hand=hand)


class Evaluation(NamedTuple):
    """Results of all methods, and how fast they came after the first batch."""

    results: list[Result]
    images_per_second: float
    subject: Subject | None = None
    reader: "Reader | None" = None
    written: Sequence[Path] = ()


@switches.defaults()
def evaluate_set(
    model_directory: Path,
    dataset: str | Path,
    split: str,
    protocol: str,
    *,
    hand: ManoModel,
    refine: Prior | None = None,
    labels: bool = False,
    out: Path | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    predictions: Path | None = None,
) -> Evaluation:
    """Scores of a regressor on a record set, a result for each row of its table.

    Args:
        model_directory: of the regressor.
        dataset: directory of records.
        split: its split.
        protocol: name of a protocol.
        hand: hand model.
        refine: adds ``+ diffusion``, and figures of contact before and after it.
        labels: puts the records' own fits first, with their contact if refined.
        out: keeps what was computed; the same call continues there.
        batch_size: records in a batch of this process; rounded up to its devices.
        progress: whether to show a bar.
        predictions: file for the last row's estimates; needs ``out``.

    Raises:
        InputError: the protocol does not fit, or ``out`` holds another evaluation.
    """
    chosen = protocols.get(protocol)
    found = shards.open_split(dataset, split)
    protocols.check_fit(chosen, dataset=found.dataset, split=split)
    subject = regressor(Path(model_directory), hand=hand, refine=refine)
    score = evaluator.scorer(chosen)
    scores = dict.fromkeys(subject.methods, score)
    if labels:
        own = {methods.LABELS: methods.labels(hand)}
        subject = dataclasses.replace(subject, methods=own | dict(subject.methods))
        scores = {methods.LABELS: score_found(score)} | scores
    if refine is not None:
        *_, before, after = subject.methods
        rows = {before, after} | (scores.keys() & {methods.LABELS})
        scores |= {row: contact_scores.with_contact(scores[row]) for row in rows}
    return evaluate(
        subject,
        dataset,
        split,
        protocol=chosen,
        score=scores,
        out=out,
        batch_size=batch_size,
        progress=progress,
        predictions=predictions,
    )


@switches.defaults()
def evaluate(
    subject: Subject,
    dataset: str | Path,
    split: str,
    *,
    protocol: protocols.Protocol,
    score: evaluator.Score | Mapping[str, evaluator.Score],
    out: Path | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    predictions: Path | None = None,
) -> Evaluation:
    """Scores of any methods on a record set; arguments as in ``evaluate_set``."""
    size = _batch_size(batch_size)
    reader = data.reader(
        subject.experiment, str(dataset), split, shuffle=False, batch_size=size
    )
    identity = dict(subject.identity) | {
        "version": results.VERSION,
        "records": shards.digest(dataset, split),
        "protocol": protocol.name,
        "rows": list(subject.methods),
        "batch_size": size,
        "processes": jax.process_count(),
    }
    store = Store(out, identity) if out is not None else None
    keep = None
    if predictions is not None and out is not None and store is not None:
        row = list(subject.methods)[-1]
        keep = PredictionWriter(predictions, row, out=out)
        same = min(keep.done, store.done)
        keep.back_to(same)
        store.back_to(same)
    elif out is not None and (kept := kept_results(out, list(subject.methods))):
        return Evaluation(kept, float("nan"), subject, reader)
    try:
        whole, rate = _scores(subject, reader, score, store, keep, progress=progress)
    except InputError:
        if store is not None:
            store.abandon()
        raise
    source = reader.split.dataset
    rows = evaluator.figures(whole)
    rows.pop(methods.LABELS, None)  # without fits it says that it found none
    evaluator.require_counted(rows, protocol, dataset=source, split=split)
    names = list(subject.methods)
    found = as_results(
        whole, names, protocol=protocol.name, dataset=source, split=split
    )
    written = keep.finish() if keep is not None else []
    keep_results(found, out, store)
    return Evaluation(found, rate, subject, reader, written)


def as_results(
    whole: evaluator.ScoredBatch,
    methods: Sequence[str],
    *,
    protocol: str,
    dataset: str,
    split: str,
) -> list[Result]:
    """The scores of all records, a result for each method in this order."""
    return [
        Result(
            method=name,
            protocol=protocol,
            dataset=dataset,
            split=split,
            record=whole.record,
            image_id=results.decode_names(whole.texts["image_id"]),
            subset=results.decode_names(whole.texts["subset"]),
            scores=whole.scores[name],
        )
        for name in methods
    ]


def keep_results(found: list[Result], out: Path | None, store: Store | None) -> None:
    """Write results where the evaluation lies, then forget its parts."""
    if out is not None and jax.process_index() == 0:
        for one in found:
            results.save(sample_path(out, one.method), one)
    if store:
        store.clear()


def sample_path(out: Path, method: str) -> Path:
    """Where the scores of a method lie."""
    slug = re.sub(r"[^a-z0-9]+", "-", method.lower()).strip("-")
    return out / SAMPLES / f"{slug}.npz"


def digest(directory: Path) -> str:
    """Tells model directories apart by their files."""
    files = (directory / native.CONFIG, directory / native.WEIGHTS)
    return hashlib.sha256(b"".join(map(reading.read_bytes, files))).hexdigest()


def _weights_digest(variables: Any) -> str:
    leaves = (np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables))
    return hashlib.sha256(b"".join(leaves)).hexdigest()


def _scores(
    subject: Subject,
    reader: "Reader",
    score: evaluator.Score | Mapping[str, evaluator.Score],
    store: Store | None,
    keep: PredictionWriter | None,
    *,
    progress: bool,
) -> tuple[evaluator.ScoredBatch, float]:
    """Scores of all records, what is in the store taken from there, and the rate."""
    known, parts = results.Names(), list[evaluator.ScoredBatch]()
    marks: list[tuple[float, int]] = []
    skip, size = (store.done if store else 0), reader.config.batch_size
    total = reader.split.num_records
    estimates = dict(subject.methods)
    if keep is not None:
        estimates[keep.row] = keep.watched(estimates[keep.row])
    batches = reader.once(skip=skip, watch=known.watch)
    with (
        Prefetcher(batches, methods.spread) as stream,
        Bar(
            total=total,
            done=min(skip * size * jax.process_count(), total),
            unit="img",
            name="evaluate",
            is_shown=progress and jax.process_index() == 0,
        ) as bar,
    ):
        for part in evaluator.scored(
            estimates, score, stream, subject.hand, texts=known.texts
        ):
            if keep is not None:
                keep.add(part)
            (store.add if store else parts.append)(part)
            done = int((part.weight > 0).sum()) * jax.process_count()
            bar.update(done)
            marks.append((time.perf_counter(), done))
    if keep is not None:
        keep.close()
    whole = evaluator.gather(store.close() if store else parts)
    return whole, pictures_per_second(marks)


def pictures_per_second(marks: list[tuple[float, int]]) -> float:
    """Pictures a second after the first batch, which compiles; NaN of one batch.

    Args:
        marks: when each batch was done, seconds, and how many pictures it had.
    """
    if len(marks) < 2:
        return float("nan")
    (start, _), *rest = marks
    return sum(done for _, done in rest) / (rest[-1][0] - start)


def _batch_size(wanted: int | None) -> int:
    devices = jax.local_device_count()
    size = BATCH if wanted is None else wanted
    return -(-size // devices) * devices


def kept_results(out: Path, rows: list[str]) -> list[Result] | None:
    """What a finished evaluation left in ``out``."""
    paths = [sample_path(out, name) for name in rows]
    if not all(path.exists() for path in paths):
        return None
    return [results.load(path) for path in paths]


FOUND, WRONG_SIDE = "found %", "wrong side %"


def score_found(score: Score) -> Score:
    """The same scores of the hands that a method found, and ``found %``.

    Pairs that were found by half count as not occluded by each other.

    Args:
        score: of a protocol.
    """

    def measure(
        prediction: Prediction,
        truth: Truth,
        model: ManoModel,
        weight: Float[Array, "n"],
    ) -> Scores:
        found = jnp.asarray(prediction.score) > 0
        scores = score(prediction, _seen(truth, found), model, weight)
        share = {FOUND: found_share(truth.targets, found, weight)}
        return scores._replace(metrics=scores.metrics | share)

    return measure


def withdraw(targets: Targets, found: Bool[Array, "*b 2"]) -> Targets:
    """The labels of found hands; between hands only where both are found."""
    return targets._replace(
        joints_2d_valid=targets.joints_2d_valid & found[..., None],
        joints_3d_valid=targets.joints_3d_valid & found[..., None],
        mano_valid=targets.mano_valid & found,
        rel_trans_valid=targets.rel_trans_valid & jnp.all(found, axis=-1),
    )


def _seen(truth: Truth, found: Bool[Array, "*b 2"]) -> Truth:
    """What is known of found hands."""
    pairs = jnp.all(found, axis=-1, keepdims=True)
    occluded = truth.occluded
    if occluded is not None:
        occluded = jnp.where(pairs, occluded, jnp.nan)
    targets = withdraw(truth.targets, found)
    return truth._replace(targets=targets, occluded=occluded)


@jax.jit
def found_share(
    targets: Targets, found: Bool[Array, "*b 2"], weight: Float[Array, "*b"]
) -> Mean:
    """Which of a picture's labelled hands were found, per cent."""
    hands = targets.hand_valid & (weight > 0)[..., None]
    count = jnp.sum(hands, axis=-1).astype(jnp.float32)
    return Mean(100.0 * jnp.sum(hands & found, axis=-1), count)


def limited(method: Method, found: Mapping[int, Bool[np.ndarray, "2"]]) -> Method:
    """A method as if it had found these hands only.

    Args:
        method: estimates of a batch.
        found: hands by number of their record; none of a record that is not there.
    """
    none = np.zeros(2, bool)

    def some(batch: Batch) -> Prediction:
        prediction = method(batch)
        rows = [found.get(int(record), none) for record in np.asarray(batch.record)]
        return prediction._replace(score=prediction.score * jnp.asarray(rows))

    return some
