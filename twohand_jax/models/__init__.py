"""Networks and their settings.

``network`` makes pure functions of a module of Flax, which is loaded when one is used.
"""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.models import (
        hamer,
        hand_landmark,
        pair_encoder,
        sapiens,
        segdepth,
        vit,
    )
    from twohand_jax.models.apply import Network, Variables, network, shapes
    from twohand_jax.models.denoiser import Denoiser, DenoiserConfig
    from twohand_jax.models.regressor import Regressor, RegressorConfig
    from twohand_jax.models.resnet import ResNetConfig

__all__ = [
    "Denoiser",
    "DenoiserConfig",
    "Network",
    "Regressor",
    "RegressorConfig",
    "ResNetConfig",
    "Variables",
    "hamer",
    "hand_landmark",
    "network",
    "pair_encoder",
    "sapiens",
    "segdepth",
    "shapes",
    "vit",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "apply": ("Network", "Variables", "network", "shapes"),
            "denoiser": ("Denoiser", "DenoiserConfig"),
            "hamer": (),
            "hand_landmark": (),
            "pair_encoder": (),
            "regressor": ("Regressor", "RegressorConfig"),
            "resnet": ("ResNetConfig",),
            "sapiens": (),
            "segdepth": (),
            "vit": (),
        },
    )
