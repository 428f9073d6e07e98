"""Keypoints, segmentation and depth of hands in pictures, and hand detectors."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.cues.box_net import BoxNetDetector
    from twohand_jax.cues.extraction import Extractor, Provenance, combine, extract
    from twohand_jax.cues.mediapipe import MediaPipeCues, MediaPipeHands
    from twohand_jax.cues.onnx_detector import (
        HandBoxes,
        OnnxDetector,
        OnnxDetectorConfig,
    )
    from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig
    from twohand_jax.cues.segdepth import SegDepthCues
    from twohand_jax.cues.selection import HandDetection, two_hands

__all__ = [
    "BoxNetDetector",
    "Extractor",
    "HandBoxes",
    "HandDetection",
    "MediaPipeCues",
    "MediaPipeHands",
    "OnnxDetector",
    "OnnxDetectorConfig",
    "Provenance",
    "SapiensCues",
    "SapiensCuesConfig",
    "SegDepthCues",
    "combine",
    "extract",
    "two_hands",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "box_net": ("BoxNetDetector",),
            "extraction": ("Extractor", "Provenance", "combine", "extract"),
            "mediapipe": ("MediaPipeCues", "MediaPipeHands"),
            "onnx_detector": ("HandBoxes", "OnnxDetector", "OnnxDetectorConfig"),
            "sapiens": ("SapiensCues", "SapiensCuesConfig"),
            "segdepth": ("SegDepthCues",),
            "selection": ("HandDetection", "two_hands"),
        },
    )
