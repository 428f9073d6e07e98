"""Run as a program: the cues of several devices beside those of one."""

import dataclasses

import jax
import numpy as np

from tests.weights.tiny_sapiens import loaded, tiny, torch_network
from twohand_jax.cues import sapiens
from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig
from twohand_jax.models.sapiens import POSE


def held(extractor: SapiensCues) -> int:
    """Bytes of weights on the first device."""
    leaves = jax.tree.leaves(extractor._runners["keypoints"]._variables)
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)


def main() -> None:
    """Print what is the same, or fail."""
    config = dataclasses.replace(tiny(POSE), layers=1)
    networks = {"keypoints": loaded(config, torch_network(config))}
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 48, 3), dtype=np.uint8) for _ in range(6)]
    boxes, valid = np.zeros((6, 2, 4)), np.ones((6, 2), bool)
    sapiens.SMALLEST_SPLIT = 64  # the network is tiny
    devices = jax.devices()
    extractors = [
        SapiensCues(networks, config=SapiensCuesConfig(batch=1, fsdp=n), devices=those)
        for n, those in ((1, devices[:1]), (1, devices), (2, devices[:2]), (2, devices))
    ]
    alone, *together = [one(pictures, boxes, valid) for one in extractors]
    for cues in together:
        for many, one in zip(cues, alone, strict=True):
            points, expected = (each.values["keypoints"] for each in (many, one))
            assert expected.any()
            np.testing.assert_allclose(points, expected, atol=1e-3)
    whole, *_, halves = [held(extractor) for extractor in extractors]
    assert 0.45 * whole < halves < 0.6 * whole, (halves, whole)
    print(f"same cues of {len(pictures)} pictures on {jax.device_count()} devices")


if __name__ == "__main__":
    main()
