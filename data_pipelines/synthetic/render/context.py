"""The off-screen OpenGL context, and what to say when the system has none.

    python -m data_pipelines.synthetic.render.context

checks the system: it exits with 2 and the line to install when no picture can be drawn.
"""

import ctypes
import ctypes.util
import os
import sys
from typing import Any

import moderngl

from twohand_jax.errors import InputError, MissingDependencyError

INSTALL_LINE = "apt-get install -y libegl1 libgl1-mesa-dri libgles2"


def _missing(reason: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"Rendering the synthetic set needs an EGL driver, but {reason}; expected "
        "libEGL.so.1 with a driver (Mesa's software driver is enough): install it with "
        f"`{INSTALL_LINE}`."
    )


def check_egl() -> None:
    """Raises `MissingDependencyError` with the install line if EGL is not there."""
    if ctypes.util.find_library("EGL") is None:
        raise _missing("the library libEGL was not found")
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise _missing(f"libEGL does not load ({error})") from error


def create_context(*, software_threads: int = 0) -> moderngl.Context:
    """Opens a context of OpenGL 3.3 without a display; one for each process.

    ``software_threads`` is how many threads Mesa's software driver may start: none, as
    the pictures are spread over processes. ``LP_NUM_THREADS`` in the environment wins.
    """
    check_egl()
    if "tensorflow" in sys.modules:
        raise InputError(
            "TensorFlow is loaded in this process, and Mesa's driver crashes beside "
            "it; render in a process of its own, as `twohand data build` does."
        )
    os.environ.setdefault("LP_NUM_THREADS", str(software_threads))
    try:
        options: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
        return moderngl.create_context(**options)
    except Exception as error:  # moderngl raises bare Exception
        raise _missing(f"no OpenGL 3.3 context could be opened ({error})") from error


def main() -> int:
    """Try to open a context; the exit code."""
    try:
        create_context().release()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
