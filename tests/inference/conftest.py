"""A tiny untrained network on disk, and a detector that needs no network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference import networks
from twohand_jax.cues.selection import HandDetection

RESNET = {"depths": (1, 1), "width": 4, "last_stride": 2}
TRANSNET = {"grid": 16, "depth": 16, "sigma": 1.0, "resnet": RESNET}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of a small network with all parts and small random weights."""
    config = networks.config(model__cues=networks.ALL, model__transnet=TRANSNET)
    return networks.save(tmp_path_factory.mktemp("model"), config)


def open_palm(middle: tuple[float, float], size: float, sign: float) -> np.ndarray:
    """Keypoints of an upright open hand; ``sign`` -1 has the thumb on the left."""
    rows = [(0.0, 0.5)]
    for finger, angle in enumerate((1.0, 0.35, 0.05, -0.25, -0.55)):
        direction = np.array([np.sin(angle), -np.cos(angle)])
        start, step = (0.15, 0.13) if finger == 0 else (0.45, 0.14)
        rows += [tuple((start + step * k) * direction + [0, 0.5]) for k in range(4)]
    points = np.array(rows) * [sign, 1] * size + middle
    return np.concatenate([points, np.ones((21, 1))], axis=1).astype(np.float32)


@pytest.fixture
def keypoints() -> np.ndarray:
    """A right hand on the left of a 320 x 240 picture, a left hand on its right."""
    return np.stack([open_palm((90, 120), 90, 1), open_palm((230, 120), 90, -1)])


PRESENCE = 0.995  # a detector that is believed


def detections(keypoints: np.ndarray) -> list[HandDetection]:
    return [
        HandDetection(
            side=side,
            side_score=0.9,
            score=PRESENCE,
            keypoints=points * [1, 1, PRESENCE],
            world=np.full((21, 3), 0.01 + 0.01 * side, np.float32),
            box=np.concatenate([points[:, :2].min(0), points[:, :2].max(0)]),
        )
        for side, points in enumerate(keypoints)
    ]


@pytest.fixture
def image() -> np.ndarray:
    y, x = np.mgrid[:240, :320]
    return np.stack([x * 0.7, y, 255 - x * 0.5], axis=-1).astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path, image: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    return path
