"""Drawing the benchmark's scenes, which was done once."""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from tqdm import tqdm

from data_pipelines.synthetic import samples
from data_pipelines.synthetic import source as synthetic
from data_pipelines.synthetic.benchmark.scenes import Scenes, on_grid
from data_pipelines.synthetic.config import SyntheticConfig
from data_pipelines.synthetic.poses import sampler, view
from twohand_jax import mano
from twohand_jax.evaluation import difficulty
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

KINDS = ("apart", "near", "touching", "clasped")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawConfig:
    """Which scenes are drawn.

    Attributes:
        seed: of everything; the training sets draw from other streams.
        per_kind: scenes of each of ``KINDS``.
        pictures: size and what makes a picture be rejected.
        batch: candidates posed at once.
    """

    seed: int
    per_kind: int
    pictures: SyntheticConfig
    batch: int = 64


def draw(config: DrawConfig, *, workers: int, progress: bool = True) -> Scenes:
    """Scenes of all kinds in turn, so that any run of records holds all of them."""
    spawn = multiprocessing.get_context("spawn")
    with (
        tqdm(total=len(KINDS), unit="kind", disable=not progress) as bar,
        concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool,
    ):
        tasks = [pool.submit(of_kind, kind, config) for kind in reversed(KINDS)]
        for _ in concurrent.futures.as_completed(tasks):
            bar.update()
        parts = [task.result() for task in reversed(tasks)]
    return Scenes(
        *(
            np.stack(column, 1).reshape(-1, *column[0].shape[1:])
            for column in zip(*parts, strict=True)
        )
    )


def of_kind(kind: str, config: DrawConfig) -> Scenes:
    """The first usable scenes of a kind."""
    found: list[Scenes] = []
    for batch in _batches(kind, config):
        found.append(batch)
        if sum(len(part.kind) for part in found) >= config.per_kind:
            break
    whole = Scenes(*map(np.concatenate, zip(*found, strict=True)))
    return whole.rows(slice(config.per_kind))


def _batches(kind: str, config: DrawConfig) -> Iterator[Scenes]:
    """Scenes without end, those left out whose picture hides a hand or cuts it off."""
    model, renderer = synthetic.load(config.pictures.size, synthetic.hand_checksum())
    number = sampler.KINDS.index(kind)
    both, kinds = np.ones((config.batch, 2), bool), [kind] * config.batch
    for batch in itertools.count():
        stream = np.random.SeedSequence([config.seed, number, batch])
        scenes = _candidates(stream, kind, model, config)
        drawn = samples.posed(model, scenes.params, scenes.camera, both, kinds)
        kept = []
        for sample, seed in zip(drawn, scenes.seed, strict=True):
            rng = np.random.default_rng(int(seed))
            rendering = synthetic.draw_picture(rng, sample, renderer)
            kept.append(synthetic.usable(sample, rendering, config.pictures))
        yield scenes.rows(np.array(kept))


def _candidates(
    stream: np.random.SeedSequence, kind: str, model: ManoModel, config: DrawConfig
) -> Scenes:
    """Poses of a kind, one view of each."""
    count, size = config.batch, config.pictures.size
    pose_seed, view_seed, *seeds = stream.generate_state(count + 2).tolist()
    settings = sampler.SamplerConfig(weights={kind: 1.0})
    poses = sampler.sample(pose_seed, count, model=model, config=settings)
    params, camera = view.place(view_seed, poses, (size, size), model=model)
    scenes = on_grid(
        Scenes(
            *params,
            focal=camera.focal[:, 0],
            center=camera.center,
            kind=poses.kind.astype(np.uint8),
            seed=np.array(seeds, np.uint32),
            hidden=np.zeros((count, 2), np.uint8),
        )
    )
    hidden = np.asarray(_hidden(model, scenes.params))
    return scenes._replace(hidden=hidden.astype(np.uint8))


@jax.jit
def _hidden(model: ManoModel, params: ManoParams) -> Int[Array, "n 2"]:
    geometry = mano.forward(model, params)
    sides = [
        difficulty.hidden_by(geometry, model.faces, side).sum(axis=-1)
        for side in (RIGHT, LEFT)
    ]
    return jnp.stack(sides, axis=-1)
