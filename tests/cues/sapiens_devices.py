"""Run as a program: the cues of several devices beside those of one."""

import dataclasses

import jax
import numpy as np

from tests.weights.tiny_sapiens import loaded, tiny, torch_network
from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig
from twohand_jax.models.sapiens import POSE


def main() -> None:
    """Print what is the same, or fail."""
    config = dataclasses.replace(tiny(POSE), layers=1)
    networks = {"keypoints": loaded(config, torch_network(config))}
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 48, 3), dtype=np.uint8) for _ in range(6)]
    boxes, valid = np.zeros((6, 2, 4)), np.ones((6, 2), bool)
    settings = SapiensCuesConfig(batch=1)
    cues = [
        SapiensCues(networks, config=settings, devices=devices)(pictures, boxes, valid)
        for devices in (jax.devices(), jax.devices()[:1])
    ]
    for many, one in zip(*cues, strict=True):
        points, expected = (cues.values["keypoints"] for cues in (many, one))
        assert expected.any()
        np.testing.assert_allclose(points, expected, atol=1e-4)
    print(f"same cues of {len(pictures)} pictures on {jax.device_count()} devices")


if __name__ == "__main__":
    main()
