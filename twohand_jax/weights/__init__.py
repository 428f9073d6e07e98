"""Model directories, and the conversion of weights that others have released."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.weights import (
        interhandgen,
        interwild,
        mediapipe,
        native,
        sapiens,
        torch_files,
        torchvision,
    )

__all__ = [
    "interhandgen",
    "interwild",
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
            "interhandgen": (),
            "interwild": (),
            "mediapipe": (),
            "native": (),
            "sapiens": (),
            "torch_files": (),
            "torchvision": (),
        },
    )
