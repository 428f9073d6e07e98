"""Refuses what the library can't run on; everything else is in setup.cfg."""

import platform
import struct
import sys

from setuptools import setup

if sys.version_info < (3, 11):  # noqa: UP036 - python_requires is pip's to read
    sys.exit(
        "twohand_jax needs Python 3.11 or newer, and this is Python "
        + platform.python_version()
        + ": make an environment with a newer one."
    )
if struct.calcsize("P") < 8:
    sys.exit(
        "twohand_jax needs a 64-bit Python, and this is a 32-bit one on "
        + platform.machine()
        + ": JAX has no builds for it. Install a 64-bit Python."
    )
setup()
