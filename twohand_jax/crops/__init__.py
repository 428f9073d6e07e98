"""What the networks see of a picture: hands cut out, cues drawn, labels moved along."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.crops.augment import AugmentConfig, prepare
    from twohand_jax.crops.canvas import CanvasConfig
    from twohand_jax.crops.inputs import CropConfig, hand_boxes, make_inputs
    from twohand_jax.crops.predictions import decode, prediction_from_params
    from twohand_jax.crops.region import RegionConfig

__all__ = [
    "AugmentConfig",
    "CanvasConfig",
    "CropConfig",
    "RegionConfig",
    "decode",
    "hand_boxes",
    "make_inputs",
    "prediction_from_params",
    "prepare",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "augment": ("AugmentConfig", "prepare"),
            "canvas": ("CanvasConfig",),
            "inputs": ("CropConfig", "hand_boxes", "make_inputs"),
            "predictions": ("decode", "prediction_from_params"),
            "region": ("RegionConfig",),
        },
    )
