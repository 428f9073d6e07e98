"""The flags of all commands that find hands and extract cues."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twohand_jax.inference.cue_choice import CueConfig

SOURCES = ("auto", "mediapipe", "sapiens")
KINDS = ("keypoints", "segmentation", "depth")


def add(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add ``--cues``, the Sapiens models and ``--detector``.

    Args:
        parser: of the command.
        more: further values of ``--cues``.
    """
    option = parser.add_argument
    option(
        "--cues",
        choices=[*SOURCES, *more],
        default="auto",
        help="mediapipe: keypoints; auto: and maps by the shipped network; sapiens: "
        "whatever models are given",
    )
    for kind in KINDS:
        text = "model that `twohand weights convert sapiens` wrote"
        option(f"--sapiens-{kind}", type=Path, metavar="DIR", help=text)
    text = "pictures on each device at a time; 1"
    option("--sapiens-batch", type=int, metavar="N", default=1, help=text)
    option("--detector", type=Path, metavar="FILE.onnx", help="finds the hands")


def config(args: argparse.Namespace) -> "CueConfig":
    """What the flags say."""
    from twohand_jax.inference.cue_choice import CueConfig

    given: dict[str, Any] = {
        "source": args.cues,
        "sapiens_keypoints": args.sapiens_keypoints,
        "sapiens_segmentation": args.sapiens_segmentation,
        "sapiens_depth": args.sapiens_depth,
        "sapiens_batch": args.sapiens_batch,
        "detector": args.detector,
    }
    return CueConfig(**given)
