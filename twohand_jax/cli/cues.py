"""``twohand cues``: keypoints, segmentation and depth of pictures as files."""

import argparse
import time
from typing import Any

from twohand_jax import arguments, paths
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.progress import Bar, say

DESCRIPTION = """\
Find the hands of every picture (or video frame) and extract cues of them. Writes
NAME_cues.json (boxes, keypoints, what made them), NAME_segmentation.png (0 background,
1 right, 2 left), NAME_depth.png (16 bit: 0 background, else 1 near to 65535 far) and
NAME_cues.png to look at. Pictures that are done are skipped."""


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "cues",
        help="photographs to keypoints, segmentation and depth",
        description=DESCRIPTION,
        examples=(
            "twohand cues PHOTO.jpg --out cues",
            "twohand cues photos --recursive --out cues --cues mediapipe",
        ),
    )
    option = parser.add_argument
    option(
        "photos",
        type=paths.given_text,
        nargs="+",
        metavar="IMAGE",
        help="images, videos or folders",
    )
    option(
        "--out", required=True, type=paths.given, metavar="DIR", help="output folder"
    )
    common.add_cue_options(parser)
    option(
        "--boxes",
        type=paths.given,
        metavar="FILE",
        help="hand boxes, as of reconstruct",
    )
    option(
        "--batch", type=arguments.positive, default=8, help="pictures extracted at once"
    )
    common.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make all cues; bad pictures are named at the end, the others written."""
    common.enable_compilation_cache()
    from twohand_jax.inference import cue_files
    from twohand_jax.inference.images import FailedImage, Skipped

    job = cue_files.CueJob(
        photos=args.photos,
        out=args.out,
        cues=common.cue_config(args),
        boxes=args.boxes,
        batch=args.batch,
        recursive=args.recursive,
        again=args.again,
        overwrite=args.overwrite,
    )
    bad, kept, made, start = [], 0, 0, time.perf_counter()
    with common.alone(args.out, "twohand cues"):
        total = cue_files.count_images(job)
        bar = Bar(total=total, unit="picture", delay_s=5.0)
        for one in bar.count(cue_files.cue_outcomes(job)):
            if isinstance(one, FailedImage):
                bad.append(one.sentence())
            elif isinstance(one, Skipped):
                say(one.sentence())
            elif one.kinds is None:
                kept += 1
            else:
                made += 1
                cues = ", ".join(one.kinds) or "no cues"
                say(f"{one.source}: {one.hands} of 2 hands, {cues}")
    seconds = time.perf_counter() - start
    say(
        f"{made} pictures in {seconds:.1f} s ({made / seconds:.2f} images/s), "
        f"{kept} were done before; files in {args.out}"
    )
    if bad:
        raise InputError("\n".join(bad))
