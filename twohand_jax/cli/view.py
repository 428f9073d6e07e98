"""``twohand view``: results to turn and zoom, in a browser or as one HTML file."""

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from twohand_jax import arguments, paths
from twohand_jax.errors import InputError
from twohand_jax.progress import say

DESCRIPTION = """\
Look at the results of `twohand reconstruct` in 3D: the picture, the meshes, the camera.
Without --html it opens in the browser while the command runs (extra `view`). With
--html it is written as one file, which needs neither a server nor a network."""


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "view",
        help="look at results in 3D",
        description=DESCRIPTION,
        examples=(
            "twohand view results",
            "twohand view results/PHOTO.json --html PHOTO.html",
        ),
    )
    option = parser.add_argument
    option(
        "results",
        type=paths.given_text,
        nargs="+",
        metavar="RESULT",
        help="NAME.json files, or folders",
    )
    option("--html", type=paths.given, metavar="FILE", help="write a page instead")
    option("--mano", type=paths.given, metavar="DIR", help="hand model; the open hand")
    text = "replace the page if it is there"
    option("--overwrite", action="store_true", help=text)
    text = "of the server on this machine; 8080, or the next free one"
    option("--port", type=arguments.positive, default=8080, metavar="N", help=text)
    text = "do not open a browser, only say the address"
    option("--no-browser", action="store_true", help=text)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the page, or serve until Ctrl-C."""
    from twohand_jax import files, mano
    from twohand_jax.inference import gallery
    from twohand_jax.viz import browser

    if args.html is None:
        browser.check()
    else:
        _check_page(args.html, is_replaced=args.overwrite)
    results = gallery.load(args.results, mano.load(args.mano))
    if args.html is not None:
        files.write_text(args.html, gallery.page(results))
        say(f"wrote {args.html}: {_pictures(len(results.origins))}")
        return
    viewer = browser.Viewer(
        lambda number: gallery.shown(results, number),
        len(results.origins),
        results.model,
        port=args.port,
        unit="Frame" if gallery.is_clip(results) else "Picture",
    )
    print(f"open at {viewer.url} until Ctrl-C", flush=True)
    if not args.no_browser:
        webbrowser.open(viewer.url)
    viewer.wait()


def _check_page(path: Path, *, is_replaced: bool) -> None:
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html must end in .html, but is {path}.")
    if path.exists() and not is_replaced:
        raise InputError(f"{path} is there already; give --overwrite to replace it.")


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
