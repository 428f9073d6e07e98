"""Drawing and freezing the benchmark's scenes. It was done once."""

import argparse
import concurrent.futures
import dataclasses
import importlib.metadata
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from twohand_jax import mano
from twohand_jax.data import shards
from twohand_jax.evaluation import truth
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.synthetic import source
from twohand_jax.pipelines.synthetic import source as synthetic
from twohand_jax.pipelines.synthetic.benchmark import check, scenes
from twohand_jax.pipelines.synthetic.benchmark.scenes import Scenes, on_grid
from twohand_jax.pipelines.synthetic.benchmark.source import (
    VERSION_OF_SET,
    BenchmarkSource,
    generator,
)
from twohand_jax.pipelines.synthetic.labels import SyntheticConfig
from twohand_jax.pipelines.synthetic.poses import sampler, view
from twohand_jax.pipelines.synthetic.render import gpu
from twohand_jax.progress import Bar
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

SEED = 20261123
PACKAGES = ("jax", "jaxlib", "moderngl", "numpy", "opencv-python-headless", "scipy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreezeConfig:
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


def freeze(
    config: FreezeConfig,
    out: Path,
    assets: Path,
    *,
    workers: int,
    progress: bool = True,
) -> check.Manifest:
    """Draw, build and write down what was built.

    Args:
        config: which scenes.
        out: directory of the records.
        assets: folder of the benchmark's own files.
        workers: processes.
        progress: whether to show bars.
    """
    files = check.Files(assets)
    assets.mkdir(parents=True, exist_ok=True)
    if not files.scenes.exists():
        drawn = draw_scenes(config, workers=workers, progress=progress)
        scenes.save(files.scenes, drawn)
    programs = _programs()
    source = BenchmarkSource(files.scenes, config.pictures)
    writer.write(source, out, workers=workers, progress=progress)
    split = shards.open_split(out, check.SPLIT)
    check.save_prints(files.prints, check.collect(split))
    paths = [Path(path) for path in split.paths]
    found = check.Manifest(
        version=VERSION_OF_SET,
        generator=generator(source.config, source.hand, source.scenes),
        shards={path.name: check.sha256(path) for path in paths},
        whole=check.sha256(*paths),
        prints=check.sha256(files.prints),
        counts=scenes.counts(scenes.load(files.scenes)),
        programs=programs,
    )
    check.save_manifest(found, assets)
    return found


def _programs() -> dict[str, str]:
    """Versions of what rounds: the renderer and the numerical packages."""
    opened = gpu.create_context()
    info = {"renderer": opened.info["GL_RENDERER"], "opengl": opened.info["GL_VERSION"]}
    opened.release()
    return info | {name: importlib.metadata.version(name) for name in PACKAGES}


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description="Freeze the synthetic benchmark.")
    parser.add_argument("--out", type=Path, required=True, help="records")
    parser.add_argument("--assets", type=Path, required=True, help="manifest and so on")
    parser.add_argument("--per-kind", type=int, default=500)
    parser.add_argument("--shard-size", type=int, default=125)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    total = args.per_kind * len(KINDS)
    pictures = SyntheticConfig(
        seed=SEED, train=0, test=total, shard_size=args.shard_size, views=1
    )
    config = FreezeConfig(seed=SEED, per_kind=args.per_kind, pictures=pictures)
    found = freeze(config, args.out, args.assets, workers=args.workers)
    print(f"Froze {found.num_records} records: {found.counts}")


KINDS = ("apart", "near", "touching", "clasped")


def draw_scenes(config: FreezeConfig, *, workers: int, progress: bool = True) -> Scenes:
    """Scenes of all kinds in turn, so that any run of records holds all of them."""
    spawn = multiprocessing.get_context("spawn")
    with (
        Bar(total=len(KINDS), unit="kind", is_shown=progress) as bar,
        concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool,
    ):
        tasks = [pool.submit(draw_kind, kind, config) for kind in reversed(KINDS)]
        for _ in concurrent.futures.as_completed(tasks):
            bar.update()
        parts = [task.result() for task in reversed(tasks)]
    return Scenes(
        *(
            np.stack(column, 1).reshape(-1, *column[0].shape[1:])
            for column in zip(*parts, strict=True)
        )
    )


def draw_kind(kind: str, config: FreezeConfig) -> Scenes:
    """The first usable scenes of a kind."""
    found: list[Scenes] = []
    for batch in _batches(kind, config):
        found.append(batch)
        if sum(len(part.kind) for part in found) >= config.per_kind:
            break
    whole = Scenes(*map(np.concatenate, zip(*found, strict=True)))
    return whole.rows(slice(config.per_kind))


def _batches(kind: str, config: FreezeConfig) -> Iterator[Scenes]:
    """Scenes without end, those left out whose picture hides a hand or cuts it off."""
    model, renderer = synthetic.load(config.pictures.size, synthetic.hand_checksum())
    number = sampler.KINDS.index(kind)
    both, kinds = np.ones((config.batch, 2), bool), [kind] * config.batch
    for batch in itertools.count():
        stream = np.random.SeedSequence([config.seed, number, batch])
        scenes = _candidates(stream, kind, model, config)
        drawn = source.posed_samples(model, scenes.params, scenes.camera, both, kinds)
        kept = []
        for sample, seed in zip(drawn, scenes.seed, strict=True):
            rng = np.random.default_rng(int(seed))
            rendering = synthetic.draw_picture(rng, sample, renderer)
            kept.append(synthetic.usable(sample, rendering, config.pictures))
        yield scenes.rows(np.array(kept))


def _candidates(
    stream: np.random.SeedSequence, kind: str, model: ManoModel, config: FreezeConfig
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
        truth.hidden_by(geometry, model.faces, side).sum(axis=-1)
        for side in (RIGHT, LEFT)
    ]
    return jnp.stack(sides, axis=-1)


if __name__ == "__main__":
    main()
