"""``twohand export``: a trained network as one file that runs with JAX alone."""

import argparse
from typing import Any

from twohand_jax import arguments, paths
from twohand_jax.cli import common
from twohand_jax.progress import say


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as a JAX program",
        description="Write the inference program (from a picture, boxes and cues to "
        "both hands' meshes) as a zip archive that runs with JAX alone.",
        examples=(
            "twohand export --out hands.zip",
            "twohand export --checkpoint workdirs/open/model --out hands.zip \\\n"
            "      --platforms cpu,cuda --cues keypoints",
        ),
    )
    option = parser.add_argument
    option("--checkpoint", type=paths.given, help="model directory; the shipped one")
    option(
        "--out",
        type=paths.given,
        required=True,
        metavar="FILE",
        help="archive to write",
    )
    option(
        "--platforms",
        default="cpu,cuda,tpu",
        help="that it shall run on, with commas (default: %(default)s)",
    )
    option(
        "--weights",
        choices=["inside", "beside"],
        default="inside",
        help="in the program, or as weights.npz beside it (default: %(default)s)",
    )
    option(
        "--cues",
        nargs="*",
        metavar="CUE",
        help="that the program takes (default: all that the network looks at)",
    )
    option(
        "--canvas",
        type=arguments.whole(32, 8192),
        default=512,
        help="side of its pictures, pixels",
    )
    option("--mano", type=paths.given, help="folder or .npz of the hand model")
    common.add_hand(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Load, export, write."""
    from twohand_jax import mano
    from twohand_jax.inference import export, predict

    common.check_hand(args.mano, args.checkpoint, is_asked=args.other_hand)
    trained = predict.load_network(args.checkpoint)
    export.write(
        args.out,
        trained,
        mano.load(args.mano),
        cues=args.cues,
        canvas_size=args.canvas,
        platforms=[name for name in args.platforms.split(",") if name],
        weights=args.weights,
    )
    size = args.out.stat().st_size / 2**20
    taken = trained.cues if args.cues is None else args.cues
    say(
        f"wrote {args.out} ({size:.1f} MiB) for {args.platforms}, with "
        f"{'the cues ' + ', '.join(taken) if taken else 'no cues'}"
    )
