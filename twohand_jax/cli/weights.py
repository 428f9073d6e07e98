"""``twohand weights``: other projects' weights become model directories."""

import argparse
from typing import Any

from twohand_jax import paths
from twohand_jax.progress import say

ARCHITECTURES = ("resnet18", "resnet50")


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "weights",
        help="convert other projects' weights",
        examples=(
            "twohand weights convert torchvision resnet50.pth --arch resnet50 \\\n"
            "      --out weights/resnet50",
            "twohand weights convert sapiens sapiens_pose.pt2 --out weights/pose",
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True)
    convert = actions.add_parser(
        "convert",
        help="write a model directory",
        description="Read PyTorch weights (.pt, .pth, .bin, .tar, .safetensors), "
        "a TorchScript archive or a Lightning checkpoint, without running anything in "
        "them, and write a model directory.",
        examples=(
            "twohand weights convert torchvision resnet50.pth --arch resnet50 \\\n"
            "      --out weights/resnet50",
            "twohand weights convert sapiens sapiens_pose.pt2 --out weights/pose",
        ),
    )
    sources = convert.add_subparsers(dest="source", required=True)
    backbone = sources.add_parser(
        "torchvision",
        help="a ResNet, from which the regressor's training starts",
        examples=[
            f"twohand weights convert torchvision {arch}.pth --arch {arch} --out {arch}"
            for arch in ARCHITECTURES
        ],
    )
    backbone.add_argument("--arch", choices=ARCHITECTURES, required=True)
    backbone.set_defaults(run=_torchvision)
    prior = sources.add_parser(
        "interhandgen",
        help="InterHandGen's two-hand prior",
        examples=(
            "twohand weights convert interhandgen prior.pth --statistics misc \\\n"
            "      --out weights/prior",
            "twohand reconstruct PHOTO.jpg --prior weights/prior --out results",
        ),
    )
    prior.add_argument(
        "--statistics",
        type=paths.given,
        required=True,
        metavar="DIR",
        help="the folder misc of its release: mano_mean.npy, mano_var.npy, "
        "rel_mean.npy and rel_var.npy",
    )
    prior.set_defaults(run=_interhandgen)
    wild = sources.add_parser(
        "interwild",
        help="InterWild's network of both hands, and its hand detector",
        examples=(
            "twohand weights convert interwild snapshot_6.pth \\\n"
            "      --out weights/interwild",
            "twohand reconstruct PHOTO.jpg --checkpoint weights/interwild \\\n"
            "      --mano MANO --detector weights/interwild --out results",
        ),
    )
    wild.set_defaults(run=_interwild)
    cues = sources.add_parser(
        "sapiens",
        help="a pose, segmentation or depth network of Sapiens, for cues",
        examples=(
            "twohand weights convert sapiens sapiens_pose.pt2 --out weights/pose",
            "twohand cues PHOTO.jpg --out cues --cues sapiens \\\n"
            "      --sapiens-keypoints weights/pose",
        ),
    )
    cues.set_defaults(run=_sapiens)
    hamer = sources.add_parser(
        "hamer",
        help="HaMeR's network of single hands, for both",
        examples=(
            "twohand weights convert hamer hamer.ckpt --out weights/hamer",
            "twohand reconstruct PHOTO.jpg --checkpoint weights/hamer --mano MANO \\\n"
            "      --out results",
        ),
    )
    hamer.set_defaults(run=_hamer)
    for source in (backbone, prior, wild, hamer, cues):
        source.add_argument("file", type=paths.given, help="the weights")
        source.add_argument("--out", type=paths.given, required=True, metavar="DIR")


def _torchvision(args: argparse.Namespace) -> None:
    """Convert a backbone."""
    from twohand_jax.weights import torch_files, torchvision
    from twohand_jax.weights.torchvision import save_backbone

    config = torchvision.ARCHITECTURES[args.arch]
    variables = torchvision.convert_resnet(
        torch_files.read(args.file), config, where=args.file
    )
    save_backbone(args.out, variables, arch=args.arch)
    say(f"wrote the {args.arch} {args.out}; name it in a config's init section")


def _interhandgen(args: argparse.Namespace) -> None:
    """Convert a prior."""
    from twohand_jax.diffusion import representation
    from twohand_jax.weights import interhandgen, torch_files

    released = interhandgen.convert(
        torch_files.read(args.file),
        representation.load_released_statistics(args.statistics),
        where=args.file,
    )
    interhandgen.save(args.out, released)
    say(f"wrote the prior {args.out}")


def _interwild(args: argparse.Namespace) -> None:
    """Convert a regressor and its detector."""
    from twohand_jax.weights import interwild, torch_files

    released = interwild.convert(torch_files.read(args.file), where=args.file)
    interwild.save(args.out, released)
    say(
        f"wrote the regressor {args.out} and its hand detector "
        f"{args.out / interwild.BOXES}; reconstruct it with MANO (--mano)"
    )


def _sapiens(args: argparse.Namespace) -> None:
    """Convert a cue network; its size and kind follow from the weights."""
    from twohand_jax.models.sapiens import size_name
    from twohand_jax.weights import sapiens

    config = sapiens.convert_file(args.file, args.out)
    say(f"wrote the {config.kind} network {args.out}, Sapiens {size_name(config)}")


def _hamer(args: argparse.Namespace) -> None:
    """Convert a regressor."""
    from twohand_jax.weights import hamer

    hamer.convert_file(args.file, args.out)
    say(f"wrote the regressor {args.out}; reconstruct it with MANO (--mano)")
