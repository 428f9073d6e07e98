"""A small record set whose labels agree with each other in every way."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from twohand_jax.crops.cue_table import DEFAULT
from twohand_jax.pipelines import labelled
from twohand_jax.pipelines.cue_stage import LabelCues, cue_features
from twohand_jax.pipelines.fixtures.scenes import FixtureScene, scenes
from twohand_jax.pipelines.labelled import Example, Labelled, Rejection
from twohand_jax.types import ManoModel


@dataclasses.dataclass(frozen=True)
class Consistent:
    """A ``ShardSource`` of drawn pairs of the open hand with ground-truth cues.

    ``changes`` replaces features of the records of these numbers.
    """

    model: ManoModel
    count: int = 5
    size: tuple[int, int] = (80, 64)
    changes: Mapping[int, Mapping[str, object]] = dataclasses.field(
        default_factory=dict
    )

    name = "consistent"
    version = "1.0.0"
    description = "Pairs & <nothing> else."
    cues = DEFAULT

    @property
    def settings(self) -> Mapping[str, object]:
        return {"count": self.count}

    @property
    def shard_sizes(self) -> Mapping[str, tuple[int, ...]]:
        return {"train": (2, self.count - 2)}

    def examples(self, split: str, shard: int) -> Iterator[Example | Rejection]:
        drawn = scenes(self.count, model=self.model, size=self.size, seed=1)
        start = 2 * shard
        for number in range(start, start + self.shard_sizes[split][shard]):
            example = self._example(drawn[number], number)
            yield {**example, **self.changes.get(number, {})}

    def _example(self, scene: FixtureScene, number: int) -> dict[str, object]:
        known = np.ones((2, 21), bool)
        sample = Labelled(
            image=scene.image,
            image_id=f"picture {number}",
            subset="drawn",
            size=self.size,
            camera=scene.camera,
            joints_2d=scene.joints_px,
            joints_2d_valid=known,
            joints_3d=scene.joints,
            joints_3d_valid=known,
            mano=scene.params,
            mano_valid=np.ones(2, bool),
        )
        example = labelled.record(
            sample, dataset="consistent", hand_model=self.model.name
        )
        cues = LabelCues(self.model)
        return example | cue_features(cues([example])[0], cues.provenance)
