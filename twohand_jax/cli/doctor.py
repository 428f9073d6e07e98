"""``twohand doctor``: what is installed, what is missing, and whether it works."""

import argparse
import ctypes.util
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import twohand_jax
from twohand_jax import extras, progress
from twohand_jax.cli import common
from twohand_jax.errors import FailedError

DESCRIPTION = """\
Say what is installed, on which devices JAX computes, which extras are missing and what
for, and where caches lie. Then test the hand model against a plain one in double
precision, and reconstruct the photograph that ships with the package. Ends with exit
code 1 if something does not work; a missing extra is no fault."""
CORE = ("jax", "jaxlib", "flax", "numpy", "opencv-python-headless", "ai-edge-litert")
EGL = "apt-get install libegl1 libgl1-mesa-dri"
PARITY_UM = 5.0  # between single and double precision, micrometres
FIT = 0.05  # of a hand's size: how near the joints must come to those in the picture
WRISTS_PX = ((674.0, 560.0), (287.0, 561.0))  # of the demo picture, right and left
WRIST_OFF = 0.03  # of the picture's width


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, and whether it works",
        description=DESCRIPTION,
        examples=("twohand doctor", "twohand doctor --no-test"),
    )
    parser.add_argument("--no-test", action="store_true", help="compute nothing")
    parser.set_defaults(run=run)


class Finding(NamedTuple):
    """A line of the report.

    Attributes:
        name: what was looked at.
        text: what there is.
        is_fault: whether something does not work.
    """

    name: str
    text: str
    is_fault: bool = False


def run(args: argparse.Namespace) -> None:
    """Print what there is; fail where something does not work."""
    common.enable_compilation_cache()
    faults = []
    sections = {
        "versions": versions,
        "extras": missing_extras,
        "caches": caches,
        **({} if args.no_test else {"tests": tests}),
    }
    for title, make in sections.items():
        progress.show(title)
        for one in make():
            mark = "FAULT: " if one.is_fault else ""
            progress.show(f"  {one.name:12} {mark}{one.text}")
            faults += [one.name] if one.is_fault else []
    if faults:
        raise FailedError(f"Something does not work: {', '.join(faults)}.")


def versions() -> Iterator[Finding]:
    """Packages, Python, the system and JAX's devices."""
    where = Path(__file__).parents[1]
    yield Finding("twohand_jax", f"{twohand_jax.__version__} in {where}")
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in CORE:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            found = importlib.util.find_spec(name.partition("-")[0]) is not None
            text = "of another source" if found else f"missing: pip install {name}"
            yield Finding(name, text, is_fault=not found)
    yield _devices()


def _devices() -> Finding:
    try:
        import jax

        names = [f"{one.device_kind} ({one.platform})" for one in jax.devices()]
    except Exception as error:  # whatever JAX raises for a driver
        return Finding("devices", _line(error), is_fault=True)
    counts = [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    return Finding("devices", f"{', '.join(counts)}; {os.cpu_count()} CPU cores")


def missing_extras() -> Iterator[Finding]:
    """Each extra: there, or what is missing, what for, and how to get it."""
    for name, extra in extras.EXTRAS.items():
        absent = extras.missing(name)
        if not absent:
            yield Finding(name, f"there: {extra.purpose}")
            continue
        yield Finding(
            name,
            f"missing ({', '.join(absent)}): {extra.purpose}; {extras.command(name)}",
        )
    if platform.system() == "Linux" and ctypes.util.find_library("EGL") is None:
        purpose = extras.EXTRAS["render"].purpose
        yield Finding("libEGL", f"missing (a system library): {purpose}; {EGL}")


def caches() -> Iterator[Finding]:
    """Where compiled programs are kept, and how much lies there."""
    folder = common.cache_folder()
    jax_folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if folder is None:
        yield Finding("programs", "nowhere: this user has no home folder")
    else:
        yield Finding("programs", f"{folder} ({_size(folder)})")
    if jax_folder:
        yield Finding("JAX's own", f"{jax_folder} ({_size(Path(jax_folder))})")


def _size(folder: Path) -> str:
    if not folder.is_dir():
        return "not there yet"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    text = f"{sum(sizes) / 2**20:.0f} MiB in {len(sizes)} files"
    return text if os.access(folder, os.W_OK) else f"{text}, cannot be written"


def tests() -> Iterator[Finding]:
    """The hand model and a reconstruction, each with the seconds that it took."""
    checks: Sequence[tuple[str, Callable[[], Finding]]] = (
        ("hand model", hand_model),
        ("photograph", photograph),
    )
    for name, check in checks:
        start = time.perf_counter()
        try:
            found = check()
        except Exception as error:  # a report says what is broken, whatever it is
            found = Finding(name, _line(error), is_fault=True)
        seconds = time.perf_counter() - start
        yield found._replace(text=f"{found.text} [{seconds:.1f} s]")


def hand_model() -> Finding:
    """The largest distance of a vertex from that of the plain model."""
    import jax
    import numpy as np

    from twohand_jax import mano
    from twohand_jax.mano import twin
    from twohand_jax.types import ManoParams

    model, draw = mano.load(), np.random.default_rng(0)
    shapes = (2, 3), (2, 15, 3), (2, 10), (2, 3)
    params = ManoParams(
        *(draw.normal(0, 0.5, shape).astype(np.float32) for shape in shapes)
    )
    found, plain = jax.jit(mano.forward)(model, params), twin.forward(model, params)
    pairs = zip(found, plain, strict=True)
    off_um = 1e6 * max(float(abs(np.asarray(a) - b).max()) for a, b in pairs)
    return Finding(
        "hand model",
        f"{model.name}, {off_um:.2f} µm from double precision, at most {PARITY_UM:g}",
        is_fault=not off_um <= PARITY_UM,
    )


def photograph() -> Finding:
    """Whether both hands of the demo picture are found where they are."""
    import numpy as np
    from PIL import Image

    from twohand_jax import assets
    from twohand_jax.inference.reconstruct import Reconstructor

    reconstructor = Reconstructor.load(cache=common.cache_folder())
    with Image.open(assets.DEMO) as image:
        width = image.width
        found = reconstructor.detailed(image)
    if not found.hands.present.all():
        return Finding("photograph", "a hand is not found", is_fault=True)
    camera, wrists = found.prediction.camera, found.prediction.geometry.joints[:, 0]
    pixels = np.asarray(wrists[:, :2] / wrists[:, 2:] * camera.focal + camera.center)
    off = np.linalg.norm(pixels - WRISTS_PX, axis=-1).max() / width
    fit = found.errors()[1].max()
    return Finding(
        "photograph",
        f"both hands found, {fit:.1%} of their size from the 2D joints (at most "
        f"{FIT:.0%}), wrists {off:.1%} of the picture from where they are (at most "
        f"{WRIST_OFF:.0%})",
        is_fault=not (fit <= FIT and off <= WRIST_OFF),
    )


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
