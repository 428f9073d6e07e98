"""A miniature record set for tests: two coloured squares as hands, exact labels."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.data import decode, schema
from twohand_jax.pipelines.labelled import Example, Rejection

NUM_JOINTS = 21


@dataclasses.dataclass(frozen=True)
class Squares:
    """A ``ShardSource`` whose pictures hold a bright dot at every joint.

    ``reject_every`` leaves out each such sample; ``fail_at`` raises at a shard;
    ``cues`` are the kinds of cues that the records hold.
    """

    sizes: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("train", (3, 4, 2)),
        ("test", (3,)),
    )
    height: int = 48
    width: int = 64
    seed: int = 0
    reject_every: int = 0
    fail_at: tuple[str, int] | None = None
    cues: tuple[str, ...] = DEFAULT

    name = "squares"
    version = "1.0.0"
    description = "Two squares a picture."

    @property
    def settings(self) -> Mapping[str, object]:
        return {"height": self.height, "width": self.width, "seed": self.seed}

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        return dict(self.sizes)

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        if self.fail_at == (split, shard):
            raise OSError("the source went away")
        for number in range(self.shard_sizes[split][shard]):
            name = f"{split}-{shard}-{number}"
            if self.reject_every and number % self.reject_every == 0:
                yield Rejection("not sharp", name)
                continue
            rng = np.random.default_rng([self.seed, split == "test", shard, number])
            yield example(name, self.height, self.width, rng, cues=self.cues)


def example(
    name: str,
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    cues: tuple[str, ...] = DEFAULT,
) -> dict:
    """One record with every feature; joints lie on a grid inside of each hand's box."""
    image = np.full((height, width, 3), 30, np.uint8)
    labels = np.zeros((height, width), np.uint8)
    depth = np.zeros((height, width), np.float32)
    side = min(height, width) // 2 - 6
    joints, boxes = [], []
    for hand in range(2):
        x0 = int(2 + hand * width // 2 + rng.integers(3))
        y0 = int(2 + rng.integers(height - side - 4))
        labels[y0 : y0 + side, x0 : x0 + side] = hand + 1
        depth[y0 : y0 + side, x0 : x0 + side] = np.linspace(0, 1, side)[:, None]
        points = rng.uniform(3, side - 4, (NUM_JOINTS, 2)).round() + [x0, y0]
        for x, y in points.astype(int):
            image[y - 1 : y + 2, x - 1 : x + 2] = 230
        joints.append(points)
        boxes.append([x0, y0, x0 + side - 1, y0 + side - 1])
    joints_2d = np.array(joints, np.float32)
    maps = {"segmentation": labels, "depth": depth}
    real = {
        feature.name: rng.normal(size=feature.shape).astype(np.float32)
        for feature in schema.features(cues)
        if feature.dtype is np.float32
    }
    flags = {
        feature.name: np.ones(feature.shape, bool)
        for feature in schema.features(cues)
        if feature.dtype is np.bool_
    }
    texts = {
        feature.name: f"some {feature.name}"
        for feature in schema.features(cues)
        if feature.encoding is schema.Encoding.TEXT
    }
    return {
        **real,
        **flags,
        **texts,
        "schema_version": schema.SCHEMA_VERSION,
        "image": decode.encode_jpeg(image, quality=98),
        "image_id": name,
        "height": height,
        "width": width,
        "hands/box": np.array(boxes, np.float32),
        "hands/joints_2d": joints_2d,
        **{
            feature: value
            for cue, values in maps.items()
            if cue in cues
            for feature, value in decode.encode_cue(cue, values, labels > 0).items()
        },
    }
