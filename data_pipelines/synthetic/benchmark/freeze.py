"""Freeze the benchmark. It was done once; a new one needs a new version.

    python -m data_pipelines.synthetic.benchmark.freeze --out DIR --assets DIR

Draws the scenes (unless they are in the assets), builds the set from them, and writes
the fingerprints and the manifest. Interrupted, the same command goes on.
"""

import argparse
import importlib.metadata
import os
from pathlib import Path

from data_pipelines import writer
from data_pipelines.synthetic.benchmark import check, manifest, prints, scenes
from data_pipelines.synthetic.benchmark import draw_scenes as draw
from data_pipelines.synthetic.benchmark.source import (
    VERSION_OF_SET,
    BenchmarkSource,
    generator,
)
from data_pipelines.synthetic.config import SyntheticConfig
from data_pipelines.synthetic.render import context
from twohand_jax.data import shards

SEED = 20261123
PACKAGES = ("jax", "jaxlib", "moderngl", "numpy", "opencv-python-headless", "scipy")


def freeze(
    config: draw.DrawConfig,
    out: Path,
    assets: Path,
    *,
    workers: int,
    progress: bool = True,
) -> manifest.Manifest:
    """Draw, build and write down what was built.

    Args:
        config: which scenes.
        out: directory of the records.
        assets: folder of the benchmark's own files.
        workers: processes.
        progress: whether to show bars.
    """
    files = manifest.Files(assets)
    assets.mkdir(parents=True, exist_ok=True)
    if not files.scenes.exists():
        drawn = draw.draw(config, workers=workers, progress=progress)
        scenes.save(files.scenes, drawn)
    programs = _programs()
    source = BenchmarkSource(files.scenes, config.pictures)
    writer.write(source, out, workers=workers, progress=progress)
    split = shards.open_split(out, manifest.SPLIT)
    prints.save(files.prints, check.collect(split))
    paths = [Path(path) for path in split.paths]
    found = manifest.Manifest(
        version=VERSION_OF_SET,
        generator=generator(source.config, source.hand, source.scenes),
        shards={path.name: manifest.sha256(path) for path in paths},
        whole=manifest.sha256(*paths),
        prints=manifest.sha256(files.prints),
        counts=scenes.counts(scenes.load(files.scenes)),
        programs=programs,
    )
    manifest.save(found, assets)
    return found


def _programs() -> dict[str, str]:
    """Versions of what rounds: the renderer and the numerical packages."""
    opened = context.create_context()
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
    total = args.per_kind * len(draw.KINDS)
    pictures = SyntheticConfig(
        seed=SEED, train=0, test=total, shard_size=args.shard_size, views=1
    )
    config = draw.DrawConfig(seed=SEED, per_kind=args.per_kind, pictures=pictures)
    found = freeze(config, args.out, args.assets, workers=args.workers)
    print(f"Froze {found.num_records} records: {found.counts}")


if __name__ == "__main__":
    main()
