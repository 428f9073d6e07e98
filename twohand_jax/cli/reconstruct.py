"""``twohand reconstruct``: photographs to meshes, poses and overlays."""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from twohand_jax import arguments, paths
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.progress import Bar, say, show
from twohand_jax.timing import Stopwatch

DESCRIPTION = """\
Reconstruct all hands of every picture, person by person. Writes NAME.json, meshes
NAME_right.obj and NAME_left.obj (of a second person NAME_right_2.obj and so on; camera
frame: x right, y down, z forward), NAME.glb (all hands with their skeletons, y up) and
NAME_overlay.png; all in metres. A video is one result: people are followed and smoothed
over its frames, in CLIP.json, CLIP.npz, an animated CLIP.glb and CLIP_overlay.mp4.
Pictures that are done are skipped, a video goes on where a run was interrupted; files
that no run made are never replaced."""
EPILOG = """\
files: --boxes and --keypoints are JSON, in pixels, with one entry for each hand:
  boxes       {"right": [x0, y0, x1, y1], "left": null}
  keypoints   {"right": [[x, y, score], ... 21 rows], "left": [[x, y], ... 21 rows]}
  several     {"photo_1": {"right": ...}, "photo_2": {"left": ...}}
joints: wrist, then thumb, index, middle, ring, pinky, each from base to tip."""


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="photographs to hand meshes",
        description=DESCRIPTION,
        epilog=EPILOG,
        examples=(
            "twohand reconstruct PHOTO.jpg --out results",
            "twohand reconstruct photos --recursive --out results --html",
            "twohand reconstruct CLIP.mp4 --out results --start 2 --end 5",
            "twohand reconstruct --camera 0 --frames 100 --out results",
        ),
    )
    option = parser.add_argument
    option(
        "photos",
        type=paths.given_text,
        nargs="*",
        metavar="PHOTO",
        help="images, videos or folders",
    )
    option(
        "--out", required=True, type=paths.given, metavar="DIR", help="output folder"
    )
    option("--mano", type=paths.given, metavar="DIR", help="hand model; the open hand")
    option(
        "--checkpoint", type=paths.given, metavar="DIR", help="model; the shipped one"
    )
    common.add_hand(parser)
    common.add_cue_options(parser)
    option("--boxes", type=paths.given, metavar="FILE", help="hand boxes (see below)")
    option(
        "--keypoints", type=paths.given, metavar="FILE", help="2D joints (see below)"
    )
    option(
        "--fit",
        choices=["auto", "on", "off"],
        default="auto",
        help="fit the hands to the 2D joints; auto: where there are some",
    )
    option(
        "--refine",
        choices=["auto", "always", "never"],
        default="auto",
        help="separate hands of pictures with the two-hand prior; auto: overlapping "
        "ones",
    )
    option(
        "--prior",
        type=paths.given,
        metavar="DIR",
        help="two-hand prior; the shipped one",
    )
    option(
        "--people",
        choices=["all", "one"],
        default="all",
        help="reconstruct everybody's hands, or the surest hands that go together",
    )
    text = "most hands of a picture, the surest ones; 16"
    option("--max-hands", type=int, default=16, metavar="N", help=text)
    text = "focal length in pixels, F or FX,FY; EXIF's or the picture's diagonal"
    option("--focal", metavar="PX", help=text)
    option("--center", metavar="X,Y", help="principal point; the picture's middle")
    text = "a video's frames as pictures, each with files of its own"
    option("--each-frame", action="store_true", help=text)
    text = "take every Nth frame of a video; 1"
    option("--stride", type=arguments.positive, default=1, metavar="N", help=text)
    option("--start", type=float, metavar="S", help="first second of a video")
    option("--end", type=float, metavar="S", help="last second of a video")
    option("--camera", type=int, metavar="N", help="a webcam, 0 the first, no photos")
    option("--frames", type=int, metavar="N", help="webcam pictures; until Ctrl-C")
    common.add_output_options(parser)
    option("--html", action="store_true", help="a page to look at, NAME.html, too")
    option("--timing", action="store_true", help="print how long each stage took")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Reconstruct all pictures; bad ones are named at the end, the others written."""
    timing = Stopwatch()
    with timing.stage("import"):
        common.enable_compilation_cache()
        from twohand_jax.inference import photos
        from twohand_jax.inference.clip import ClipConfig
        from twohand_jax.inference.images import FailedImage
    common.check_hand(args.mano, args.checkpoint, is_asked=args.other_hand)
    fields = dataclasses.fields(photos.ReconstructionJob)
    given: dict[str, Any] = {
        field.name: getattr(args, field.name) for field in fields if field.name in args
    }
    given["cues"] = common.cue_config(args)
    given["focal"] = _numbers(args.focal, "--focal", counts=(1, 2))
    given["center"] = _numbers(args.center, "--center", counts=(2,))
    given["clip"] = ClipConfig(stride=args.stride, start=args.start, end=args.end)
    job = photos.ReconstructionJob(**given, cache=common.cache_folder())
    bad = []
    with common.alone(args.out, "twohand reconstruct"):
        outcomes = photos.outcomes(job, timing, _frame_progress)
        bar = Bar(total=None, unit="picture", delay_s=5.0)
        for one in bar.count(outcomes):
            if isinstance(one, FailedImage):
                bad.append(one.sentence())
            else:
                say(photos.describe(one))
    if args.timing:
        show(timing.table())
    if bad:
        raise InputError("\n".join(bad))


def _frame_progress(items: Iterator[Any], total: int | None) -> Iterator[Any]:
    return Bar(total=total, unit="frame", delay_s=5.0).count(items)


def _numbers(
    text: str | None, name: str, *, counts: Sequence[int]
) -> tuple[float, ...] | None:
    """Numbers with a comma between them; one number counts for x and y."""
    if text is None:
        return None
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        form = "X,Y" if min(counts) == 2 else "F or FX,FY"
        raise InputError(f"{name} must be {form} in pixels, not {text!r}.")
    return numbers * (2 // len(numbers))
