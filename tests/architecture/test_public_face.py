"""What a user reaches by name, and what type checkers know of it."""

import ast
import configparser
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import twohand_jax as th

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path.parent.relative_to(ROOT)
    for path in (ROOT / "twohand_jax").glob("**/__init__.py")
    if "lazy.attach" in path.read_text()
)


def dotted(package: Path) -> str:
    return ".".join(package.parts)


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_type_checkers_and_python_see_the_same_names(package):
    """The imports under TYPE_CHECKING, ``__all__``, and what ``lazy.attach`` is told.

    Modules are parsed instead of imported: some load TensorFlow or Flax.
    """
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {
        (node.module.removeprefix(dotted(package)).strip("."), alias.name)
        for node in blocks[0].body
        for alias in node.names
    }
    call = blocks[-1].body[0].value
    modules = ast.literal_eval(call.args[1])
    given = {(m, name) for m, names in modules.items() for name in names or ()}
    given |= {("", module) for module, names in modules.items() if not names}
    assert shown == given
    assert importlib.import_module(dotted(package)).__all__ == sorted(
        (name for _, name in given), key=lambda n: (not n.isupper(), n)
    )
    for module, name in sorted(given):
        place = ROOT.joinpath(package, *module.split("."))
        if not module:
            assert (place / f"{name}.py").exists() or (place / name).is_dir()
            continue
        source = ast.parse(place.with_suffix(".py").read_text())
        assert name in top_level(source), f"{place}.py has no {name}."


def top_level(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            targets = [e for t in node.targets for e in getattr(t, "elts", [t])]
            names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


def test_every_name_of_the_face_is_there():
    assert set(th.__all__) <= set(dir(th))
    assert all(getattr(th, name) is not None for name in th.__all__)
    assert th.Prediction.__module__ == "twohand_jax.types"
    with pytest.raises(AttributeError, match="no attribute 'Reconstrutor'"):
        th.Reconstrutor  # noqa: B018 - the lookup is what is tested


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_importing_a_package_loads_none_of_its_parts(package):
    heavy = {"jax", "tensorflow", "torch", "flax", "cv2", "orbax", "matplotlib"}
    code = f"import sys, {dotted(package)}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_marker_of_types_is_shipped():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    shipped = parser["options.package_data"]["twohand_jax"].split()
    assert "py.typed" in shipped
    assert (ROOT / "twohand_jax" / "py.typed").exists()


PROGRAM = """\
import jax
import jax.numpy as jnp
import numpy as np

import twohand_jax as th
from twohand_jax.cues import HandDetection


def nobody(
    image: np.ndarray, boxes: object = None, sides: object = None, /
) -> list[HandDetection]:
    return []


def meet(model: th.ManoModel, pair: th.HandGeometry) -> jax.Array:
    tips = pair.joints[..., 8, :]
    return jnp.sum((tips[..., th.RIGHT, :] - tips[..., th.LEFT, :]) ** 2, axis=-1)


reconstructor = th.Reconstructor.load(detector=nobody)
image = np.zeros((480, 640, 3), np.uint8)
box = [10.0, 10.0, 100.0, 100.0]
result = reconstructor(image, boxes=[box, None], keypoints=None)
details = reconstructor.detailed(image, boxes=np.zeros((2, 4)), focal=500.0)
prior = th.Prior.load()
drawn = prior.sample(jax.random.key(0), 4)
hands = th.prediction_from_params(prior.model, drawn)
config = th.RefineConfig(energy=th.diffusion.EnergyConfig(collision=0.0))
refined = th.refine(prior, hands, config=config, energy=meet)
geometry = th.mano.forward(th.mano.load(), refined.prediction.mano)
right, left = geometry.vertices[:, th.RIGHT], geometry.vertices[:, th.LEFT]
cost = th.collision.energy(right, left, *prior.model.faces)
reveal_type(reconstructor)
reveal_type(result)
reveal_type(details.hands)
reveal_type(details.refinement)
reveal_type(prior)
reveal_type(drawn)
reveal_type(hands.camera)
reveal_type(refined)
reveal_type(geometry)
reveal_type(cost)
"""
REVEALED = [
    "twohand_jax.inference.reconstruct.Reconstructor",
    "twohand_jax.types.Prediction",
    "twohand_jax.inference.detections.Detections",
    "twohand_jax.diffusion.refine.Refined",
    "twohand_jax.inference.prior.Prior",
    "twohand_jax.types.ManoParams",
    "twohand_jax.types.Camera",
    "twohand_jax.diffusion.refine.Refined",
    "twohand_jax.types.HandGeometry",
    "jax._src.basearray.Array",
]
CONFIG = """\
[mypy]
strict = True
mypy_path = {root}
cache_dir = {cache}
[mypy-twohand_jax.*]
follow_imports = silent
"""


def checked(folder: Path, program: str) -> tuple[list[str], list[str]]:
    """Errors and revealed types of a user's program, who has the library installed."""
    (folder / "program.py").write_text(program)
    text = CONFIG.format(root=ROOT, cache=ROOT / ".mypy_cache" / "public_face")
    (folder / "mypy.ini").write_text(text)
    words = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "program.py"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    note = 'note: Revealed type is "'
    revealed = [line.split(note)[1][:-1] for line in lines if note in line]
    return [line for line in lines if "error:" in line], revealed


@pytest.mark.slow
def test_a_users_program_is_checked_strictly(tmp_path):
    errors, revealed = checked(tmp_path, PROGRAM)
    assert errors == []
    assert len(revealed) == len(REVEALED)
    for found, wanted in zip(revealed, REVEALED, strict=True):
        # A record's arrays may be numpy's or JAX's, so its fields are Any; it is not.
        assert wanted in found and found != "Any"
    wrong = PROGRAM.replace("drawn = prior.sample(", "drawn = prior.smaple(")
    wrong += "th.Reconstrutor\nreconstructor(image, boxes=3.0)\n"
    errors, _ = checked(tmp_path, wrong)
    assert len(errors) == 3, errors
