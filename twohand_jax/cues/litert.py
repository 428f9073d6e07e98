"""One shipped tflite network as a plain function of numpy arrays."""

from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float32

from twohand_jax.errors import InputError, MissingDependencyError


def load_network(
    name: str, *, num_threads: int
) -> Callable[[Float32[np.ndarray, "h w 3"]], list[np.ndarray]]:
    """Load `assets/<name>.tflite`; returns image in [0, 1] -> list of outputs.

    The outputs come in the file's own order, without their batch axis.
    """
    interpreter = _interpreter(name, num_threads=num_threads)
    image_index = interpreter.get_input_details()[0]["index"]
    output_indices = [d["index"] for d in interpreter.get_output_details()]

    def network(image: Float32[np.ndarray, "h w 3"]) -> list[np.ndarray]:
        interpreter.set_tensor(image_index, image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(index)[0] for index in output_indices]

    return network


def _interpreter(name: str, *, num_threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            "The MediaPipe keypoint source runs its networks with the package "
            "ai-edge-litert, which is not installed here. Install it with "
            "`python -m pip install ai-edge-litert`, or give the hands' keypoints "
            "in a file (--keypoints FILE)."
        ) from error
    path = resources.files("twohand_jax.cues") / "assets" / f"{name}.tflite"
    with resources.as_file(path) as file:
        if not file.is_file():
            raise InputError(
                f"The network file {path} is missing from this installation of "
                "twohand_jax, which ships it as package data. Reinstall the package."
            )
        interpreter = Interpreter(model_path=str(file), num_threads=num_threads)
    interpreter.allocate_tensors()
    return interpreter
