"""How much a command says: ``-v`` lets libraries speak, ``-q`` shows results alone."""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator

from twohand_jax import progress

# Read by native code when it is loaded; what a user has set stays. XLA, for one, tells
# about every cached program whose processor flags it cannot compare. TensorFlow tells
# about oneDNN, which it does not need: it reads records here and computes nothing.
SILENCE = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GLOG_minloglevel": "3",
    "GRPC_VERBOSITY": "ERROR",
    "OPENCV_LOG_LEVEL": "ERROR",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}
LOGGERS = (
    *("absl", "jax", "orbax", "tensorflow", "apache_beam", "matplotlib"),
    *("fsspec", "gcsfs", "s3fs", "botocore", "google.auth"),
)
TRACEBACK = "TWOHAND_TRACEBACK"


@contextlib.contextmanager
def applied(args: argparse.Namespace) -> Iterator[None]:
    """Say as much as the flags ask for, inside of this context."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(progress.quiet(getattr(args, "quiet", False)))
        if not is_verbose(args):
            for name, value in SILENCE.items():
                os.environ.setdefault(name, value)
            for name in LOGGERS:
                stack.enter_context(_errors_alone(logging.getLogger(name)))
        yield


def is_verbose(args: argparse.Namespace) -> bool:
    """Whether ``-v`` was given."""
    return getattr(args, "verbose", False)


@contextlib.contextmanager
def _errors_alone(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    if before == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
