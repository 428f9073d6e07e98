"""The exported program: JAX alone runs it, and it says what the library says."""

import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.inference import networks
from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.errors import InputError
from twohand_jax.inference import export, predict
from twohand_jax.types import Camera, CanvasView, Cues

CANVAS = 96


@pytest.fixture(scope="module")
def trained(checkpoint):
    return predict.load_network(checkpoint)


@pytest.fixture(scope="module")
def pictures(trained) -> dict[str, np.ndarray]:
    """Three pictures with both hands and all cues, one of them without keypoints."""
    rng = np.random.default_rng(0)
    boxes = [[[8, 10, 40, 60], [45, 20, 85, 70]]] * 3
    keypoints = rng.uniform(10, 80, (3, 2, 21, 3))
    keypoints[..., 2] = [[[1.0]], [[0.8]], [[0.0]]]
    given = {
        "canvas": rng.integers(0, 255, (3, CANVAS, CANVAS, 3), dtype=np.uint8),
        "T_canvas_image": np.broadcast_to(np.eye(2, 3), (3, 2, 3)),
        "boxes": np.array(boxes),
        "score": np.array([[1, 1], [1, 0], [0.5, 1]]),
        "focal": np.full((3, 2), 120.0),
        "center": np.full((3, 2), 48.0),
        "keypoints": keypoints,
        "has_keypoints": np.array([True, True, False]),
        "segmentation": rng.integers(0, 3, (3, CANVAS, CANVAS)),
        "has_segmentation": np.array([True, False, True]),
        "depth": rng.uniform(0, 1, (3, CANVAS, CANVAS)),
        "has_depth": np.array([True, True, False]),
    }
    fields = export.inputs(CANVAS, trained.cues)
    assert given.keys() == fields.keys()
    return {name: value.astype(fields[name].dtype) for name, value in given.items()}


@pytest.fixture(scope="module")
def expected(trained, pictures) -> dict[str, np.ndarray]:
    """What the library's own program says, picture by picture."""
    ask = functools.partial(
        predict.predict, apply=trained.make_apply(), crop=trained.crop
    )

    @jax.jit
    def one(variables, model, value):
        view = CanvasView(
            canvas=value["canvas"],
            T_canvas_image=value["T_canvas_image"],
            cues=Cues(
                {name: value[name] for name in trained.cues},
                {name: value[f"has_{name}"] for name in trained.cues},
            ),
            box=value["boxes"],
            score=value["score"],
            camera=Camera(value["focal"], value["center"]),
        )
        found = ask(variables, model, view)
        geometry = found.geometry._asdict()
        return geometry | found.mano._asdict() | {"rel_trans": found.rel_trans}

    model = mano.load()
    rows = [
        one(trained.variables, model, {k: v[row] for k, v in pictures.items()})
        for row in range(3)
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def recipe(archive: Path) -> str:
    """The program of the archive's own README."""
    text = zipfile.ZipFile(archive).read("README.txt").decode()
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["inside", "beside"])
def test_jax_alone_runs_it_as_its_readme_says(
    tmp_path, checkpoint, pictures, expected, weights
):
    archive = tmp_path / "hands.zip"
    words = ["export", "--checkpoint", str(checkpoint), "--out", str(archive)]
    words += ["--weights", weights, "--canvas", str(CANVAS)]
    assert cli.main(words) == 0
    np.savez(tmp_path / "inputs.npz", **pictures)
    counts = (1, 3) if weights == "inside" else (3,)
    code = (
        "import sys\n"
        f"path, folder = {str(archive)!r}, {str(tmp_path)!r}\n"
        "import numpy as np\n"
        "given = dict(np.load(folder + '/inputs.npz'))\n"
        f"for count in {counts}:\n"
        "    inputs = {name: value[:count] for name, value in given.items()}\n"
        + "\n".join(f"    {line}" for line in recipe(archive).splitlines())
        + "\n    np.savez(f'{folder}/outputs{count}.npz', **outputs)\n"
        "print({'twohand_jax', 'flax', 'optax'} & set(sys.modules))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"
    for count in counts:
        with np.load(tmp_path / f"outputs{count}.npz") as file:
            assert set(file.files) == set(export.OUTPUTS)
            for name, value in expected.items():
                np.testing.assert_allclose(
                    file[name], value[:count], rtol=1e-5, atol=1e-5, err_msg=name
                )
    signature = json.loads(zipfile.ZipFile(archive).read("signature.json"))
    for name, value in pictures.items():
        field = signature["inputs"][name]
        assert field["shape"][1:] == list(value.shape[1:])
        assert field["dtype"] == value.dtype.name
    for name, value in expected.items():
        assert signature["outputs"][name]["shape"][1:] == list(value.shape[1:])
    assert signature["platforms"] == ["cpu", "cuda", "tpu"]


def test_an_unknown_platform_is_named(tmp_path, trained):
    with pytest.raises(InputError, match="cpu, cuda, rocm, tpu; got abacus"):
        export.write(
            tmp_path / "a.zip", trained, mano.load(), platforms=("cpu", "abacus")
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """Model directories of small networks with all cues, one and none."""
    return {
        cues: networks.save(
            tmp_path_factory.mktemp("small"), networks.config(model__cues=cues)
        )
        for cues in (networks.ALL, ("keypoints",), ())
    }


@pytest.fixture
def command(small, tmp_path, capsys):
    """Run the command; returns its exit code, the program's inputs, and its words."""

    def run(cues: tuple[str, ...], *words: str) -> tuple[int, dict, str]:
        out = tmp_path / "hands.zip"
        given = ["export", "--checkpoint", str(small[cues]), "--out", str(out)]
        code = cli.main([*given, "--platforms", "cpu", "--canvas", "96", *words])
        told = capsys.readouterr()
        if code:
            assert not list(tmp_path.iterdir())
            return code, {}, told.err
        signature = json.loads(zipfile.ZipFile(out).read("signature.json"))
        return code, signature["inputs"], told.out

    return run


def taken(inputs: dict) -> list[str]:
    """The cues among a program's inputs, each with its flag."""
    cues = [name for name in networks.ALL if name in inputs]
    assert [f"has_{name}" for name in cues] == [n for n in inputs if n[:4] == "has_"]
    return cues


@pytest.mark.parametrize(
    ("network", "words", "shown"),
    [
        (networks.ALL, (), list(networks.ALL)),
        (networks.ALL, ("--cues", "depth", "keypoints"), ["keypoints", "depth"]),
        (networks.ALL, ("--cues",), []),
        (("keypoints",), (), ["keypoints"]),
        ((), (), []),
    ],
    ids=str,
)
@pytest.mark.slow
def test_the_program_takes_the_cues_that_are_asked_for(command, network, words, shown):
    code, inputs, told = command(network, *words)
    assert code == 0
    assert taken(inputs) == shown
    assert ("with no cues" in told) == (not shown)
    assert all(name in told for name in shown)
    for name in shown:
        shape = [2, 21, 3] if name == "keypoints" else [96, 96]
        assert inputs[name]["shape"] == ["batch", *shape]
        assert inputs[f"has_{name}"] == {
            "shape": ["batch"],
            "dtype": "bool",
            "meaning": f"whether {name} is known",
        }


@pytest.mark.parametrize(
    ("network", "cue", "message"),
    [
        (networks.ALL, "normals", "names the cue 'normals'; cues are keypoints, segm"),
        (("keypoints",), "depth", "the cue 'depth'; cues are keypoints."),
        ((), "depth", "The network looks at no cue; leave out --cues."),
    ],
    ids=str,
)
def test_a_cue_without_an_encoder_is_refused_in_one_sentence(
    command, network, cue, message
):
    code, _, told = command(network, "--cues", cue)
    assert code == 2
    (line,) = told.strip().splitlines()
    assert line.startswith("twohand export: ") and message in line


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Cannot write"):
        export._archive(tmp_path / "file" / "a.zip", {"a": b"b"})
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        export._archive(tmp_path / "folder", {"a": b"b"})
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.slow
def test_a_network_of_turned_crops_takes_angles(tmp_path):
    trained = networks.saved(
        tmp_path / "up", crop__fingers_up=True, model__cues=(), model__transnet=None
    )
    fields = export.inputs(CANVAS, (), fingers_up=True)
    assert fields.keys() - export.inputs(CANVAS, ()).keys() == {"angle"}
    arrays, function = export.numbered(trained, mano.load(), ())
    rng = np.random.default_rng(0)
    given = {name: np.ones((1, *f.shape), f.dtype) for name, f in fields.items()}
    given |= {
        "canvas": rng.integers(0, 255, (1, CANVAS, CANVAS, 3), dtype=np.uint8),
        "T_canvas_image": np.eye(2, 3, dtype=np.float32)[None],
        "boxes": np.array([[[8, 10, 40, 60], [45, 20, 85, 70]]], np.float32),
    }
    run = jax.jit(function)
    joints, other = (
        run(arrays, given | {"angle": np.full((1, 2), angle, np.float32)})["joints"]
        for angle in (0.0, 1.0)
    )
    assert np.abs(joints - other).max() > 1e-3
