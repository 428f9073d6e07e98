"""Fixtures of the cue tests: the demo picture and the keypoint source."""

from importlib import resources

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from tests.inference.conftest import open_palm
from twohand_jax.cues.mediapipe import MediaPipeHands


@pytest.fixture(scope="session")
def demo_image() -> UInt8[np.ndarray, "h w 3"]:
    """The demo picture: a left hand on the left, a right hand on the right; RGB."""
    data = (resources.files("twohand_jax") / "assets" / "demo.jpg").read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[:, :, ::-1])


@pytest.fixture(scope="session")
def hands() -> MediaPipeHands:
    """The keypoint source with its defaults."""
    return MediaPipeHands(num_threads=1)


@pytest.fixture
def keypoints() -> np.ndarray:
    """A right hand on the left of a picture, a left hand on its right."""
    return np.stack([open_palm((90, 120), 90, 1), open_palm((230, 120), 90, -1)])
