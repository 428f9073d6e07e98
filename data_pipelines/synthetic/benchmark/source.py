"""The frozen benchmark as shards, each rendered from its part of the scenes."""

import argparse
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax import arguments, paths
from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.datasets import DatasetEntry
from twohand_jax.pipelines.labelled import Example
from twohand_jax.pipelines.synthetic import labels, source
from twohand_jax.pipelines.synthetic import source as synthetic
from twohand_jax.pipelines.synthetic.benchmark import check, scenes
from twohand_jax.pipelines.synthetic.benchmark.check import (
    ASSETS,
    NAME,
    SPLIT,
    GeneratorState,
)
from twohand_jax.pipelines.synthetic.labels import VERSION, CueNoise, SyntheticConfig
from twohand_jax.pipelines.synthetic.poses.sampler import KINDS

VERSION_OF_SET = "1.0.0"


@dataclasses.dataclass(frozen=True)
class BenchmarkSource:
    """The frozen scenes, rendered (a ``ShardSource``).

    ``scenes`` is the file, ``config`` how pictures and cues are made, ``hand`` the
    checksum of the hand model.
    """

    scenes: Path
    config: SyntheticConfig
    hand: int = dataclasses.field(default_factory=synthetic.hand_checksum)

    name = NAME
    version = VERSION_OF_SET
    description = (
        "A frozen held-out set of two hands rendered from the open hand model: apart, "
        "near, touching and clasped in equal parts. It is for evaluation alone."
    )

    cues = DEFAULT

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides the bytes."""
        return dataclasses.asdict(generator(self.config, self.hand, self.scenes))

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """One split of full shards and perhaps a last smaller one."""
        count, size = len(_scenes(self.scenes).kind), self.config.shard_size
        full, rest = divmod(count, size)
        return {SPLIT: (size,) * full + (rest,) * (rest > 0)}

    def examples(self, split: str, shard: int) -> Iterator[Example]:
        """The pictures of a shard; none is rejected, the scenes were chosen."""
        config = self.config
        start = shard * config.shard_size
        count = self.shard_sizes[split][shard]
        part = _scenes(self.scenes).rows(slice(start, start + count))
        model, renderer = synthetic.load(config.size, self.hand)
        kinds = [KINDS[kind] for kind in part.kind]
        both = np.ones((count, 2), bool)
        drawn = source.posed_samples(model, part.params, part.camera, both, kinds)
        for number, (sample, seed) in enumerate(zip(drawn, part.seed, strict=True)):
            rng = np.random.default_rng(int(seed))
            rendering = synthetic.draw_picture(rng, sample, renderer)
            image_id = f"benchmark-{start + number:05d}"
            example = labels.record(rng, sample, rendering, image_id, config=config)
            yield example | {"dataset": NAME}


def frozen_source(assets: Path = check.ASSETS) -> BenchmarkSource:
    """The benchmark, if this generator is the one that it was frozen with.

    Raises:
        InputError: version, hand model or settings changed since.
    """
    wanted = check.load_manifest(assets)
    here = GeneratorState(
        version=VERSION,
        hand=synthetic.hand_checksum(),
        config=_as_json(_config(wanted.generator.config)),
        scenes=wanted.generator.scenes,
    )
    changed = [
        f"{field.name} is {getattr(here, field.name)!r}, not "
        f"{getattr(wanted.generator, field.name)!r}"
        for field in dataclasses.fields(GeneratorState)
        if getattr(here, field.name) != getattr(wanted.generator, field.name)
    ]
    if changed:
        raise InputError(
            f"The synthetic benchmark {wanted.version} is frozen at version "
            f"{wanted.generator.version} of the generator, and this one would draw "
            f"other pictures ({'; '.join(changed)}): build it with a twohand_jax of "
            "that version, or freeze a new benchmark."
        )
    return BenchmarkSource(check.Files(assets).scenes, _config(wanted.generator.config))


def generator(config: SyntheticConfig, hand: int, scenes_file: Path) -> GeneratorState:
    """What decides the pictures here and now."""
    return GeneratorState(
        version=VERSION,
        hand=hand,
        config=_as_json(config),
        scenes=check.sha256(scenes_file),
    )


def _config(content: Mapping[str, Any]) -> SyntheticConfig:
    """The settings of the manifest; those that are unknown here are left out."""
    noise = CueNoise(**_known(CueNoise, content.get("noise", {})))
    values = _known(SyntheticConfig, content)
    return SyntheticConfig(
        **values | {"noise": noise, "kinds": tuple(content.get("kinds", ()))}
    )


def _known(cls: type, content: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in content.items() if name in names}


def _as_json(config: SyntheticConfig) -> dict[str, object]:
    return config.settings() | {"kinds": list(config.kinds)}


_scenes = functools.lru_cache(maxsize=1)(scenes.load)


def build(
    out: str | Path, *, workers: int, progress: bool = True, assets: Path = ASSETS
) -> tuple[writer.BuildReport, check.Verdict]:
    """Render the frozen scenes, or what is missing of them, and check the set.

    Args:
        out: directory of the records.
        workers: rendering processes.
        progress: whether to show a bar.
        assets: the benchmark's own files; other ones in tests.

    Raises:
        InputError: the generator is not the one of the benchmark, or the pictures
            differ from the frozen ones by more than rounding does.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    frozen = frozen_source(assets)
    report = writer.write(frozen, out, workers=workers, progress=progress)
    return report, check.verify(out, assets=assets)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``twohand data build benchmark``."""
    parser.add_argument(
        "--out", type=paths.given, required=True, help="directory of the records"
    )
    parser.add_argument(
        "--workers", type=arguments.processes_or_none, default=os.cpu_count() or 1
    )


def run(args: argparse.Namespace) -> None:
    """Build, check and print what was written."""
    report, verdict = build(args.out, workers=args.workers)
    print(f"{report.text()}\n{verdict.text()}\nwrote {args.out}")


ENTRY = DatasetEntry(
    name="benchmark",
    summary="The frozen held-out set of rendered hands, for evaluation alone",
    add_arguments=add_arguments,
    run=run,
    protocol="wrist",
    examples=(
        "twohand data build benchmark --out data/benchmark",
        "twohand data build benchmark --out data/benchmark --workers 4",
    ),
)
