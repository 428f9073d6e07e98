"""The synthetic set as shards: each a pure function of the config and its number."""

import argparse
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import google_crc32c
import jax
import numpy as np
from jaxtyping import Bool

from twohand_jax import arguments, mano, paths
from twohand_jax.crops.cue_table import NAMES, in_order
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.mano.loading import OPEN_HAND
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.datasets import DatasetEntry
from twohand_jax.pipelines.labelled import Example, Rejection
from twohand_jax.pipelines.synthetic import labels
from twohand_jax.pipelines.synthetic.labels import (
    SPLIT_STREAMS,
    VERSION,
    PosedSample,
    SyntheticConfig,
)
from twohand_jax.pipelines.synthetic.poses import sampler, view
from twohand_jax.pipelines.synthetic.render.hand_mesh import load_hand_mesh
from twohand_jax.pipelines.synthetic.render.renderer import Renderer, Rendering
from twohand_jax.pipelines.synthetic.render.sample_scene import sample_scene
from twohand_jax.types import Camera, HandGeometry, ManoModel, ManoParams

CHUNK = 64


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """Rendered pairs of the open hand (a ``ShardSource``).

    ``hand`` is the checksum of the hand model's files: a set holds one hand only.
    """

    config: SyntheticConfig
    hand: int = dataclasses.field(default_factory=lambda: hand_checksum())

    name = "synthetic"
    version = VERSION
    description = (
        "Pictures of two hands rendered from the open hand model, with exact labels "
        "and keypoint, segmentation and depth cues that carry an extractor's errors."
    )

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides the bytes."""
        return self.config.settings() | {"hand": self.hand}

    @property
    def cues(self) -> tuple[str, ...]:
        """Those of the config."""
        return self.config.cues

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        """Full shards and a last smaller one for each split."""
        counts = {"train": self.config.train, "test": self.config.test}
        return {
            split: _cut(count, self.config.shard_size)
            for split, count in counts.items()
            if count > 0
        }

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        """The pictures of a shard."""
        config = self.config
        count = self.shard_sizes[split][shard]
        stream = np.random.SeedSequence([config.seed, SPLIT_STREAMS[split], shard])
        pose_stream, *streams = stream.spawn(count + 1)
        model, renderer = load(config.size, self.hand)
        drawn = draw_samples(pose_stream, count, model=model, config=config)
        for number, (sample, own) in enumerate(zip(drawn, streams, strict=True)):
            rng = np.random.default_rng(own)
            image_id = f"{split}-{shard:05d}-{number:05d}"
            rendering = draw_picture(rng, sample, renderer)
            if not usable(sample, rendering, config):
                yield Rejection("a hand is hidden or out of the picture", image_id)
                continue
            yield labels.record(rng, sample, rendering, image_id, config=config)


def draw_picture(
    rng: np.random.Generator, sample: PosedSample, renderer: Renderer
) -> Rendering:
    """The hands in a random scene, in which only the shown ones are seen."""
    scene = sample_scene(rng)._replace(visible=sample.shown)
    return renderer.render(scene, sample.vertices, sample.camera)


def usable(sample: PosedSample, rendering: Rendering, config: SyntheticConfig) -> bool:
    """Whether enough of each shown hand is in the picture."""
    least = config.min_visible * (config.size / 256) ** 2
    joints_px = cameras.project(sample.joints, sample.camera)
    enough = rendering.visible >= least
    enough &= labels.joints_inside(joints_px, config.size) >= config.min_joints
    return bool((enough | ~sample.shown).all())


def _cut(count: int, size: int) -> tuple[int, ...]:
    full, rest = divmod(count, size)
    return (size,) * full + (rest,) * (rest > 0)


def hand_checksum() -> int:
    """CRC-32C of the embedded hand model and its skin."""
    files = (OPEN_HAND, OPEN_HAND.with_name("skin.jpg"))
    return google_crc32c.value(b"".join(path.read_bytes() for path in files))


@functools.lru_cache(maxsize=1)
def load(size: int, hand: int) -> tuple[ManoModel, Renderer]:
    """Hand and renderer, once a process: opening the context takes a while."""
    model = mano.load()
    renderer = Renderer(load_hand_mesh(OPEN_HAND.parent), (size, size))
    if hand_checksum() != hand:
        raise InputError(
            f"The hand model {OPEN_HAND} changed after this build was begun: start "
            "again in an empty directory."
        )
    return model, renderer


def build(
    config: SyntheticConfig, out: str | Path, *, workers: int, progress: bool = True
) -> writer.BuildReport:
    """Render and write the set, or what is missing of it.

    Args:
        config: decides every byte.
        out: directory of the records.
        workers: rendering processes.
        progress: whether to show a bar.
    """
    # Posing is cheap; every worker would reserve the accelerator's memory.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return writer.write(
        SyntheticSource(config), out, workers=workers, progress=progress
    )


def draw_samples(
    stream: np.random.SeedSequence,
    count: int,
    *,
    model: ManoModel,
    config: SyntheticConfig,
) -> Iterator[PosedSample]:
    """The hands of ``count`` pictures, in the camera frame of each.

    A pose takes far longer to make than a picture (two hands must be moved out of each
    other), so each is seen ``config.views`` times, by another camera in another scene.
    """
    pose_seed, view_seed = stream.generate_state(2).tolist()
    number = -(-count // config.views)
    poses = sampler.sample(
        pose_seed, number, model=model, config=_sampler_config(config)
    )
    rows = np.repeat(np.arange(number), config.views)[:count]
    seen = jax.tree.map(lambda x: x[rows], poses)
    params, camera = view.place(
        view_seed, seen, (config.size, config.size), model=model
    )
    kinds = [sampler.KINDS[kind] for kind in seen.kind]
    yield from posed_samples(model, params, camera, seen.present, kinds)


def posed_samples(
    model: ManoModel,
    params: ManoParams,
    camera: Camera,
    shown: Bool[np.ndarray, "n 2"],
    kinds: Sequence[str],
) -> Iterator[PosedSample]:
    """Pictures' hands from their parameters, all in the camera frame, host arrays."""
    geometry = posed_geometry(model, params)
    for row, kind in enumerate(kinds):
        yield PosedSample(
            params=ManoParams(*(value[row] for value in params)),
            joints=geometry.joints[row],
            vertices=geometry.vertices[row],
            camera=Camera(*(value[row] for value in camera)),
            shown=shown[row],
            kind=kind,
            model=model.name,
        )


def _sampler_config(config: SyntheticConfig) -> sampler.SamplerConfig:
    if not config.kinds:
        return sampler.DEFAULT
    weights = {kind: sampler.DEFAULT.weights.get(kind, 1.0) for kind in config.kinds}
    return sampler.SamplerConfig(weights=weights)


@jax.jit
def _forward(model: ManoModel, params: ManoParams) -> HandGeometry:
    return mano.forward(model, params)


def posed_geometry(model: ManoModel, params: ManoParams) -> HandGeometry:
    """The posed hands as host arrays, in chunks of one size: one compilation."""
    count = len(params.transl)
    rows = np.resize(np.arange(count), -(-count // CHUNK) * CHUNK)
    parts = [
        jax.tree.map(
            np.asarray,
            _forward(model, ManoParams(*(value[chunk] for value in params))),
        )
        for chunk in rows.reshape(-1, CHUNK)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``twohand data build synthetic``."""
    default = SyntheticConfig()
    parser.add_argument(
        "--out", type=paths.given, required=True, help="directory of the records"
    )
    parser.add_argument(
        "--train", type=arguments.not_negative, default=default.train, help="pictures"
    )
    parser.add_argument(
        "--test", type=arguments.not_negative, default=default.test, help="pictures"
    )
    parser.add_argument(
        "--size", type=arguments.whole(16, 8192), default=default.size, help="pixels"
    )
    parser.add_argument("--seed", type=arguments.seed, default=default.seed)
    parser.add_argument(
        "--views", type=arguments.positive, default=default.views, help="of a pose"
    )
    parser.add_argument(
        "--shard-size", type=arguments.positive, default=default.shard_size
    )
    parser.add_argument(
        "--cues",
        nargs="+",
        choices=NAMES,
        metavar="CUE",
        default=list(default.cues),
        help=f"of {', '.join(NAMES)} (default: {' '.join(default.cues)})",
    )
    parser.add_argument(
        "--workers", type=arguments.processes_or_none, default=os.cpu_count() or 1
    )


def run(args: argparse.Namespace) -> None:
    """Build as the flags say and print what was written."""
    if args.train + args.test == 0:
        raise InputError("--train and --test are both 0: there is nothing to draw.")
    config = SyntheticConfig(
        size=args.size,
        seed=args.seed,
        train=args.train,
        test=args.test,
        shard_size=args.shard_size,
        views=args.views,
        cues=in_order(args.cues),
    )
    report = build(config, args.out, workers=args.workers)
    print(report.text())


ENTRY = DatasetEntry(
    name="synthetic",
    summary="Two hands rendered from the open hand, with exact labels and with cues",
    add_arguments=add_arguments,
    run=run,
    protocol="wrist",
    examples=(
        "twohand data build synthetic --out data/open --train 8192 --test 512",
        "twohand data build synthetic --out data/few --train 64 --test 16 --seed 1",
    ),
)
