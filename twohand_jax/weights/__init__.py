"""Model directories, and the conversion of weights that others have released."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.weights import (
        hamer,
        interhandgen,
        interwild,
        lightning,
        mediapipe,
        native,
        sapiens,
        torch_files,
        torchvision,
    )

__all__ = [
    "hamer",
    "interhandgen",
    "interwild",
    "lightning",
    "mediapipe",
    "native",
    "sapiens",
    "torch_files",
    "torchvision",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "hamer": (),
            "interhandgen": (),
            "interwild": (),
            "lightning": (),
            "mediapipe": (),
            "native": (),
            "sapiens": (),
            "torch_files": (),
            "torchvision": (),
        },
    )
