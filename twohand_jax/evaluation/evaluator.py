"""Scores of methods on a record set: one pass over the data, jitted calls a batch.

A method is any function from a batch to estimates: a network with some of its cues, a
network and the prior, another system's file. Every process scores its own records and
``gather`` brings all of them together, so figures are the same on any number of
devices and hosts. What is computed so far lies on disk (``Store``), so that a pass can
be interrupted: ``OUT/run.json`` says what is evaluated; ``OUT/parts`` holds the scores
of some batches a file, for each process, until all are there.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, Int, UInt8

from twohand_jax import files, reading
from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols, truth
from twohand_jax.evaluation.protocols import MetricValues, Protocol
from twohand_jax.evaluation.results import Scores, flatten, totals, unflatten
from twohand_jax.evaluation.truth import (
    Truth,
    compared_joints,
    joint_errors,
    vertex_errors,
)
from twohand_jax.types import Batch, ManoModel, Prediction, Targets

Method = Callable[[Batch], Prediction]
Score = Callable[[Prediction, Truth, ManoModel, Float[Array, "n"]], Scores]
Texts = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


class ScoredBatch(NamedTuple):
    """Scores of some records by method; rows of weight 0 are padding.

    ``texts`` holds names of the records as bytes, see ``results.Names``.
    """

    record: Int[np.ndarray, "n"]
    weight: Float[np.ndarray, "n"]
    scores: dict[str, Scores]
    texts: dict[str, UInt8[np.ndarray, "n width"]]


def scorer(protocol: Protocol) -> Score:
    """A jitted function that compares each record of a batch by itself.

    Args:
        protocol: what is compared with what.
    """

    @jax.jit
    def score(
        prediction: Prediction,
        truth: Truth,
        model: ManoModel,
        weight: Float[Array, "n"],
    ) -> Scores:
        protocols.check_shapes(prediction)

        def compare(prediction: Prediction, truth: Truth, weight: Array):
            return protocol.compare(prediction, truth, model, weight)

        joints = compared_joints(model, prediction.geometry, protocol.joints)
        return Scores(
            metrics=jax.vmap(compare)(prediction, truth, weight),
            joints_mm=joint_errors(
                joints,
                truth,
                model,
                root=protocol.root,
                joint_set=protocol.joints,
                of_mesh=protocol.of_mesh,
            ),
            vertices_mm=vertex_errors(
                prediction,
                truth,
                model,
                root=protocol.root,
                joint_set=protocol.joints,
            ),
            overlap=truth.overlap,
            occluded=truth.occluded,
        )

    return score


def scored(
    methods: Mapping[str, Method],
    score: Score | Mapping[str, Score],
    batches: Iterable[Batch],
    model: ManoModel,
    *,
    texts: Texts | None = None,
) -> Iterator[ScoredBatch]:
    """Every method's scores, batch by batch.

    Args:
        methods: by the name of their row.
        score: from ``scorer``, or of the same form; or one for each method.
        batches: every record once, padded with weight 0.
        model: hand model.
        texts: names of records, kept with their scores.

    Raises:
        InputError: an estimate is not a finite number.
    """
    for batch in batches:
        found, known = {}, truth.batch_truth(batch.targets, model)
        for name, method in methods.items():
            prediction = method(batch)
            broken = not_finite(prediction, batch.targets, batch.weight)
            compare = score[name] if isinstance(score, Mapping) else score
            scores = compare(prediction, known, model, batch.weight)
            found[name], broken = jax.device_get((scores, broken))
            require_finite(name, broken, np.asarray(batch.record))
        record = np.asarray(batch.record, np.int32)
        weight = np.asarray(batch.weight, np.float32)
        yield ScoredBatch(record, weight, found, texts(record, weight) if texts else {})


@jax.jit
def not_finite(
    prediction: Prediction, targets: Targets, weight: Float[Array, "*b"]
) -> Bool[Array, "*b 2"]:
    """Labelled hands whose estimate holds NaN or infinity.

    Hands that a method did not find (score 0) have no estimate. The relative
    translation belongs to pictures of two hands only.
    """
    hands = targets.hand_valid & (prediction.score > 0) & (weight > 0)[..., None]
    geometry = prediction.geometry
    points = geometry.joints if geometry.vertices is None else geometry.vertices
    fine = jnp.all(jnp.isfinite(points), axis=(-2, -1))
    if prediction.rel_trans is not None:
        between = jnp.all(jnp.isfinite(prediction.rel_trans), axis=-1)
        fine &= (between | ~jnp.all(hands, axis=-1))[..., None]
    return hands & ~fine


def gather(parts: Sequence[ScoredBatch]) -> ScoredBatch:
    """All parts of all processes as one, without padding.

    Every process must call it, with as many rows.

    Raises:
        InputError: there are no parts.
    """
    if not parts:
        raise InputError("There is no record to evaluate: the split is empty.")
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    if jax.process_count() > 1:
        whole = multihost_utils.process_allgather(whole, tiled=True)
    rows = np.flatnonzero(whole.weight > 0)
    rows = rows[np.argsort(whole.record[rows], kind="stable")]
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], whole)


def figures(part: ScoredBatch) -> dict[str, MetricValues]:
    """The protocol's figures of each method."""
    return {
        name: protocols.metric_values(totals(scores))
        for name, scores in part.scores.items()
    }


def require_counted(
    rows: Mapping[str, MetricValues], protocol: Protocol, *, dataset: str, split: str
) -> None:
    """Refuse a table in which the protocol found nothing to compare.

    Metrics that a method does not have (of meshes, for joints alone) are no reason.

    Raises:
        InputError: an essential metric counted nothing.
    """
    missing = [
        name
        for name in protocol.essential
        if any(np.isnan(row.get(name, 0.0)) for row in rows.values())
    ]
    if missing:
        raise InputError(
            f"Protocol {protocol.name!r} compares {protocol.counts}, but split "
            f"{split!r} of {dataset} holds none, so {' and '.join(missing)} cannot be "
            "computed: choose another protocol or record set."
        )


def require_finite(
    name: str, broken: Bool[np.ndarray, "n 2"], record: Int[np.ndarray, "n"]
) -> None:
    """Refuse estimates that are not finite.

    Args:
        name: of the method.
        broken: from ``not_finite``.
        record: numbers of the records.

    Raises:
        InputError: one is not.
    """
    if broken.any():
        first = int(record[broken.any(axis=-1).argmax()])
        raise InputError(
            f"{int(broken.sum())} estimated hands of a batch of {len(record)} hold NaN "
            f"or infinity (row {name!r}, first in record {first}): the model's weights "
            "are damaged or its inputs are out of range, so no error of it means "
            "anything."
        )


RUN, PARTS = "run.json", "parts"
BATCHES = 4  # in a file
TEXT = "text/"


class Store:
    """The parts of one process.

    Attributes:
        done: batches that need not be computed again.
    """

    def __init__(
        self,
        directory: Path,
        identity: Mapping[str, object],
        *,
        batches: int | None = None,
    ) -> None:
        """Open or begin an evaluation.

        Args:
            directory: of the evaluation.
            identity: everything that decides the scores, as JSON has it.
            batches: in a file; ``BATCHES`` by default.

        Raises:
            InputError: the directory holds another evaluation.
        """
        self._directory = directory
        self._batches = batches or BATCHES
        self._fresh: list[ScoredBatch] = []
        begin_store(directory, identity)
        count = 0
        while _is_whole(self._path(count)):
            count += 1
        self._files = count
        self.done = count * self._batches

    def add(self, part: ScoredBatch) -> None:
        """Keep the scores of a batch."""
        self._fresh.append(part)
        if len(self._fresh) == self._batches:
            self._write()

    def back_to(self, batches: int) -> None:
        """Forget what is kept of later batches than the first ones."""
        self._files = min(self._files, batches // self._batches)
        self.done = self._files * self._batches

    def close(self) -> list[ScoredBatch]:
        """Write the last ones, and all parts from the first batch on."""
        if self._fresh:
            self._write()
        return [_read(self._path(number)) for number in range(self._files)]

    def clear(self) -> None:
        """Forget the parts, once the whole is written elsewhere."""
        if jax.process_index() == 0:
            files.remove(self._directory / PARTS)

    def abandon(self) -> None:
        """Leave no trace of an evaluation that was refused before anything was kept."""
        if jax.process_index() == 0 and not self.done and not self._files:
            files.remove(self._directory / RUN)

    def _write(self) -> None:
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *self._fresh)
        path = self._path(self._files)
        files.write_npz(path, _arrays(whole), compressed=False)
        self._files += 1
        self._fresh = []

    def _path(self, number: int) -> Path:
        process = f"process-{jax.process_index()}-of-{jax.process_count()}"
        return self._directory / PARTS / process / f"{number:06d}.npz"


def _is_whole(path: Path) -> bool:
    """Whether a part is there and can be read; one that is damaged is made again."""
    try:
        _read(path)
    except (InputError, KeyError):
        return False
    return True


def begin_store(directory: Path, identity: Mapping[str, object]) -> None:
    """Write what is evaluated, or compare with what is written there.

    Raises:
        InputError: the directory holds another evaluation.
    """
    path = directory / RUN
    wanted = json.loads(json.dumps(identity))
    if path.exists():
        try:
            found = reading.read_json(path)
        except InputError:
            found = None
        if found != wanted:
            known = found if isinstance(found, dict) else {}
            names = [key for key in wanted if known.get(key) != wanted[key]]
            raise InputError(
                f"{directory} holds another evaluation ({', '.join(names) or RUN} "
                "differs): choose another --out, or delete it."
            )
        return
    files.write_json(path, wanted)


def _arrays(part: ScoredBatch) -> dict[str, np.ndarray]:
    arrays = {"record": part.record, "weight": part.weight}
    arrays |= {TEXT + name: codes for name, codes in part.texts.items()}
    for number, (name, scores) in enumerate(part.scores.items()):
        arrays[f"{number}/name"] = np.array(name)
        arrays |= {f"{number}/{key}": leaf for key, leaf in flatten(scores).items()}
    return arrays


def _read(path: Path) -> ScoredBatch:
    arrays = reading.read_npz(path)
    scores, number = {}, 0
    while (name := arrays.pop(f"{number}/name", None)) is not None:
        prefix = f"{number}/"
        own = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
        scores[str(name)] = unflatten(own)
        number += 1
    texts = {k[len(TEXT) :]: v for k, v in arrays.items() if k.startswith(TEXT)}
    return ScoredBatch(arrays["record"], arrays["weight"], scores, texts)
