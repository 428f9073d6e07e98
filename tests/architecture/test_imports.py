"""Who may import whom: the layers of the library, read from its syntax trees."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (  # a module may import from its own line and from those below
    ("cli",),
    ("experiments", "train", "evaluation", "inference", "benchmarks"),
    (
        "losses",
        "metrics",
        "models",
        "diffusion",
        "data",
        "crops",
        "cues",
        "weights",
        "viz",
        "inspection",
    ),
    ("collision", "mano"),
    ("geometry",),
    ("types",),
    ("files",),
    ("locks", "reading", "switches"),
    ("progress",),
    ("leases",),
    ("paths",),
    ("mirror",),
    ("stores",),
    ("arguments", "errors", "extras", "fields", "lazy", "markdown", "timing", "assets"),
)
PIPELINES = ("data_pipelines/", "twohand_jax/cli/data")  # import the pipelines
RANK = {name: -rank for rank, layer in enumerate(LAYERS) for name in layer}
OWNERS = {  # who alone may import these packages
    "tensorflow": ("data_pipelines/", "twohand_jax/data/tfrecord.py"),
    "tensorflow_datasets": ("data_pipelines/", "twohand_jax/data/tfrecord.py"),
    "flax": ("twohand_jax/models/",),
    "orbax": ("twohand_jax/train/checkpoint.py",),
    "ml_collections": (
        "configs/",
        "twohand_jax/experiments/base.py",
        "twohand_jax/cli/",
    ),
    "torch": ("twohand_jax/weights/", "twohand_jax/benchmarks/peers/"),
    "smplx": ("twohand_jax/benchmarks/peers/",),
}
SOURCES = sorted(
    path
    for folder in ("twohand_jax", "data_pipelines", "configs")
    for path in (ROOT / folder).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively."
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def own_parts(path: Path) -> set[str]:
    """The library's packages and modules that a file imports."""
    dotted = (name.split(".") for name in imported(path))
    return {name[1] for name in dotted if name[0] == "twohand_jax" and len(name) > 1}


def part(path: Path) -> str:
    return path.relative_to(ROOT / "twohand_jax").parts[0].removesuffix(".py")


LIBRARY = [p for p in SOURCES if p.is_relative_to(ROOT / "twohand_jax")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
@pytest.mark.slow
def test_imports_point_down_and_packages_stay_with_their_owners(path):
    place = str(path.relative_to(ROOT))
    for name in imported(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or place.startswith(owners), f"{place} imports {name}."
        if place.startswith("configs/"):
            assert not name.startswith("twohand_jax"), f"{place} imports {name}."
        assert name.split(".")[0] not in ("configs", "data_pipelines"), (
            f"{place} imports {name}, whose name is twohand_jax.{name}."
        )
    parts = own_parts(path)
    assert "pipelines" not in parts or place.startswith(PIPELINES), place
    if path in LIBRARY and part(path) != "__init__":
        for other in parts - {"__version__", "pipelines"}:
            assert RANK[part(path)] >= RANK[other], f"{place} imports {other}."


def test_no_two_packages_import_each_other():
    graph: dict[str, set[str]] = {}
    for path in LIBRARY:
        if part(path) != "__init__":
            graph.setdefault(part(path), set()).update(own_parts(path) - {part(path)})
    assert tuple(TopologicalSorter(graph).static_order())


@pytest.mark.slow
def test_importing_the_public_face_loads_neither_tensorflow_nor_torch():
    code = (
        "import sys, twohand_jax as th; "
        "print('jax' in sys.modules); "
        "th.mano, th.collision, th.geometry, th.Reconstructor; "
        "print({'tensorflow', 'torch', 'smplx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["False", "set()"], done.stderr


@pytest.mark.slow
def test_training_and_evaluation_load_nothing_that_only_draws():
    code = (
        "import sys; "
        "from twohand_jax.cli import evaluate, main, train; "
        "from twohand_jax import experiments; "
        "from twohand_jax.train import distributed, dry_run, loop, sharding, state; "
        "from twohand_jax.evaluation import monitors, outputs, results, run; "
        "from twohand_jax.evaluation.tables import filling; "
        "drawing = ('trimesh', 'matplotlib', 'viser', 'PIL', 'twohand_jax.viz'); "
        "print([name for name in sys.modules if name.startswith(drawing)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
