"""From pictures to hands: detections, network, keypoint fit, refinement, files."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.inference.detections import Detections, Detector
    from twohand_jax.inference.fit import FitConfig
    from twohand_jax.inference.observe import CueConfig, Observer
    from twohand_jax.inference.prior import Prior
    from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
    from twohand_jax.inference.refinement import refine
    from twohand_jax.inference.result import write_samples

__all__ = [
    "CueConfig",
    "Detections",
    "Detector",
    "FitConfig",
    "Observer",
    "Prior",
    "Reconstruction",
    "Reconstructor",
    "refine",
    "write_samples",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "detections": ("Detections", "Detector"),
            "fit": ("FitConfig",),
            "observe": ("CueConfig", "Observer"),
            "prior": ("Prior",),
            "reconstruct": ("Reconstruction", "Reconstructor"),
            "refinement": ("refine",),
            "result": ("write_samples",),
        },
    )
