"""The synthetic set as shards: each a pure function of the config and its number."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import google_crc32c
import numpy as np

from data_pipelines.source import Example, Rejection
from data_pipelines.synthetic import labels, samples
from data_pipelines.synthetic.config import SPLIT_STREAMS, VERSION, SyntheticConfig
from data_pipelines.synthetic.labels import Sample
from data_pipelines.synthetic.render.hand_mesh import load_hand_mesh
from data_pipelines.synthetic.render.renderer import Renderer, Rendering
from data_pipelines.synthetic.render.sample_scene import sample_scene
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.mano.loading import OPEN_HAND
from twohand_jax.types import ManoModel


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
        return dataclasses.asdict(self.config) | {"hand": self.hand}

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
        drawn = samples.draw(pose_stream, count, model=model, config=config)
        for number, (sample, own) in enumerate(zip(drawn, streams, strict=True)):
            rng = np.random.default_rng(own)
            image_id = f"{split}-{shard:05d}-{number:05d}"
            rendering = draw_picture(rng, sample, renderer)
            if not usable(sample, rendering, config):
                yield Rejection("a hand is hidden or out of the picture", image_id)
                continue
            yield labels.record(rng, sample, rendering, image_id, config=config)


def draw_picture(
    rng: np.random.Generator, sample: Sample, renderer: Renderer
) -> Rendering:
    """The hands in a random scene, in which only the shown ones are seen."""
    scene = sample_scene(rng)._replace(visible=sample.shown)
    return renderer.render(scene, sample.vertices, sample.camera)


def usable(sample: Sample, rendering: Rendering, config: SyntheticConfig) -> bool:
    """Whether enough of each shown hand is in the picture."""
    least = config.min_visible * (config.size / 256) ** 2
    joints_px = labels.project(sample.joints, sample.camera)
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
