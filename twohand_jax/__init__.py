"""Reconstruction of two interacting hands from one image, in JAX.

Everything that most users need has a name here. ``Reconstructor`` reconstructs hands
from pictures. ``Prior`` and ``refine`` are for two-hand poses. ``Prediction``,
``ManoParams``, ``Camera`` and others are the records that go in and out. ``mano``,
``collision``, ``geometry``, ``diffusion``, ``metrics`` and ``losses`` hold functions.
Each is imported when it is first used, so that ``import twohand_jax`` is quick.
"""

import sys
from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax import collision, diffusion, geometry, losses, mano, metrics
    from twohand_jax.crops.predictions import prediction_from_params
    from twohand_jax.diffusion.refine import RefineConfig, Refined
    from twohand_jax.errors import InputError
    from twohand_jax.inference.prior import Prior
    from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
    from twohand_jax.inference.refinement import refine
    from twohand_jax.inference.result_file import Result, load_result
    from twohand_jax.types import (
        LEFT,
        RIGHT,
        SIDES,
        Camera,
        Cues,
        HandGeometry,
        ManoModel,
        ManoParams,
        Prediction,
    )

if sys.maxsize < 2**32:
    raise ImportError(
        "twohand_jax needs a 64-bit Python, and this is a 32-bit one: JAX has no "
        "builds for it. Install a 64-bit Python."
    )

__version__ = "0.1.0"
__all__ = [
    "LEFT",
    "RIGHT",
    "SIDES",
    "Camera",
    "Cues",
    "HandGeometry",
    "InputError",
    "ManoModel",
    "ManoParams",
    "Prediction",
    "Prior",
    "Reconstruction",
    "Reconstructor",
    "RefineConfig",
    "Refined",
    "Result",
    "collision",
    "diffusion",
    "geometry",
    "load_result",
    "losses",
    "mano",
    "metrics",
    "prediction_from_params",
    "refine",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "collision": (),
            "diffusion": (),
            "geometry": (),
            "losses": (),
            "mano": (),
            "metrics": (),
            "types": (
                "LEFT",
                "RIGHT",
                "SIDES",
                "Camera",
                "Cues",
                "HandGeometry",
                "ManoModel",
                "ManoParams",
                "Prediction",
            ),
            "crops.predictions": ("prediction_from_params",),
            "diffusion.refine": ("RefineConfig", "Refined"),
            "errors": ("InputError",),
            "inference.prior": ("Prior",),
            "inference.reconstruct": ("Reconstruction", "Reconstructor"),
            "inference.refinement": ("refine",),
            "inference.result_file": ("Result", "load_result"),
        },
    )
